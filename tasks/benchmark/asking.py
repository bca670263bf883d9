"""A benchmark, portion by portion: what it can see is said first, and it ends once everything is clear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from schemas.artifacts import BenchmarkArtifact
from schemas.sections.benchmark import Asking
from tasks.benchmark.forgetting import Answered, Compared, clusters_of, compare_tasks, is_settled, items_table
from tasks.benchmark.harness import Harness, Items
from tasks.benchmark.measuring import Places, Questions, portions_of, shares_of
from tasks.benchmark.neutral import compare_losses
from tasks.benchmark.sight import sight_line
from tasks.inference.loading import AdapterFolder
from tasks.reuse.progress import Reporter
from tasks.statistics.looks import levels_of


@dataclass
class Looked:
    """The items that both models answered so far, and what they tell."""

    clusters: dict[str, list[str]]
    groups: Mapping[str, Sequence[str]]
    margin: float
    answered: dict[str, Answered]
    places: Places
    looks: list[int] = field(default_factory=list)

    def look(self, portion: Places, base: Items, tuned: Items, level: float) -> Compared:
        """Return the comparison with a portion more."""
        for name, own in portion.items():
            clusters = tuple(self.clusters[name][place] for place in own)
            self.answered[name] += Answered(tuple(base[name]), tuple(tuned[name]), clusters)
            self.places[name] += own
        self.looks.append(sum(map(len, self.places.values())))
        return compare_tasks(self.answered, self.groups, margin=self.margin, level=level)


def ask_until_clear(
    harness: Harness, base: Path, adapter: AdapterFolder, asking: Asking, reporter: Reporter, texts: Sequence[str] = ()
) -> tuple[BenchmarkArtifact, dict[str, pl.DataFrame]]:
    """Return what was forgotten, and tables by name: every item that was asked, and every neutral text.

    Args:
        harness: the loaded tasks.
        base: the opened base.
        adapter: of the tuned model.
        asking: margin, confidence and how items are asked.
        reporter: hears what the benchmark can see, every request, and when it became clear.
        texts: neutral texts to measure the loss on.
    """
    clusters = {name: clusters_of(topics) for name, topics in harness.topics().items()}
    total = sum(map(len, clusters.values()))
    shares = shares_of(adapter.method)
    portions = portions_of({name: len(own) for name, own in clusters.items()}, shares, harness.seed)
    reporter.say(sight_line(clusters, asking.margin, asking.confidence))
    empty = dict.fromkeys(clusters, Answered())
    looked = Looked(clusters, harness.groups, asking.margin, empty, {name: [] for name in clusters})
    questions = Questions(harness, portions, asking.chat_template, reporter, texts)
    with closing(questions.answers(base, adapter)) as answers:
        for portion, level in zip(portions, levels_of(shares, (1.0 - asking.confidence) / 2.0), strict=True):
            tasks, pooled = looked.look(portion, *next(answers), level)
            if is_settled({one.task: one.standing for one in (*tasks, pooled)}):
                break
    if looked.looks[-1] < total:
        reporter.say(f"benchmark: clear after {looked.looks[-1]:,} of {total:,} items")
    chat, looks = tuple(sorted(harness.through_template(asking.chat_template))), tuple(looked.looks)
    facts = {"margin": asking.margin, "level": level, "looks": looks, "all_items": total, "chat": chat}
    tables = {"items": items_table(looked.answered, looked.places)}
    neutral = None
    if texts:
        before, after = questions.losses["base"], questions.losses["tuned"]
        neutral = compare_losses(before, after, margin=asking.neutral_margin, confidence=asking.confidence)
        tables["neutral"] = pl.DataFrame({"text": range(len(texts)), "base": before, "tuned": after})
    return BenchmarkArtifact(tasks=tasks, pooled=pooled, neutral=neutral, **facts), tables
