"""The data report shows what was found, with examples, and repeats no personal data."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from schemas.artifacts import DataArtifact, DataReportArtifact, LeakageArtifact, RenderingArtifact
from schemas.config import BaseConfig
from tasks.base.sources import locate_base
from tasks.base.task import fetch_base
from tasks.data.locating import locate_data
from tasks.data.reporting.report_facts import DataFacts
from tasks.data.reporting.report_page import gather, render_data_report
from tasks.data.task import check_rendering, validate_data, write_data_report
from tests.data.conftest import Room

LABELS = ("late", "lost", "broken")
WORDS = (
    "my parcel with the red kettle from the spring sale has not been seen for many days and nobody tells me where it is"
)


def rows() -> list[dict[str, str]]:
    """Return requests with labels, and one row of each kind that is to be found."""
    made = [
        {"prompt": f"case {n}: what about number {n * 7}?", "completion": LABELS[n % 3], "group": f"g{n}"}
        for n in range(60)
    ]
    made += [{"prompt": f"{WORDS} {n}", "completion": "late", "group": "same"} for n in range(3)]
    made += [
        {**made[0], "group": "x"},
        {"prompt": "<script>alert(1)</script> for jo@firm.de", "completion": "stolen", "group": "y"},
    ]
    return [*made, {"prompt": "call +49 30 901820 please", "completion": "lost", "group": "z"}]


@dataclass
class Written:
    """A report, and what it was made from."""

    room: Room
    data: DataArtifact
    rendering: RenderingArtifact | None = None

    def page(self, earlier: DataArtifact | None = None) -> tuple[DataReportArtifact, str]:
        made = write_data_report("desk", self.data, earlier, self.rendering, None)
        return made, (self.room.workdir.store.open(made.digest) / "report.html").read_text(encoding="utf-8")

    def facts(self, **changes: Any) -> DataFacts:
        return replace(
            gather("desk", (self.data, self.room.workdir.store.open(self.data.digest)), None, None, None), **changes
        )


def validated(room: Room, source: list[dict[str, str]], base: Path | None = None) -> Written:
    room.write(source)
    config = room.config({"answer": {"format": "choice", "labels": LABELS}}, group="group", refuse_above=0.5)
    data = validate_data(config.task, config.data, config.seed, locate_data(config, room.workdir.store))
    if base is None:
        return Written(room, data)
    model = fetch_base(locate_base(BaseConfig(model=str(base)), Path(), room.workdir.store))
    return Written(room, data, check_rendering(config.task, model, data, 512))


@pytest.fixture
def written(room: Room) -> Written:
    return validated(room, rows())


class Outline(HTMLParser):
    """Collects what a browser would fetch, and checks that every tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [
            value
            for name, value in attrs
            if name in ("href", "src", "xlink:href") and value and not value.startswith("#")
        ]
        if tag not in ("meta", "link", "img", "br", "use", "path"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("meta", "link", "img", "br", "use", "path"):
            assert self.open.pop() == tag


@pytest.mark.slow
def test_the_page_needs_nothing_else_and_runs_nothing_that_a_row_says(written: Written) -> None:
    text = written.page()[1]
    outline = Outline(text)
    assert (outline.fetched, outline.open) == ([], [])
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_every_reason_stands_there_with_its_count_its_mend_and_a_row(written: Written) -> None:
    made, text = written.page()
    assert made.headline.endswith("2 of 66 taken out")
    for reason in ("answer_not_a_label", "exact_duplicate", "near_duplicate", "phone_number"):
        assert f"<code>{reason}</code>" in text
    assert "Spell the label as in task.answer.labels" in text
    assert re.search(
        r"row 65 · rows\.jsonl:65 · .*?<b>request</b>&lt;script&gt;alert\(1\)&lt;/script&gt; for \[EMAIL\]", text
    )
    assert "jo@firm" not in text
    assert "+49" not in text


def test_rows_that_repeat_each_other_stand_together(written: Written) -> None:
    facts = written.facts()
    assert [(cluster.rows, [row.row_id for row in cluster.members]) for cluster in facts.clusters] == [
        (3, [61, 62, 63]),
        (2, [1, 64]),
    ]
    assert facts.repeats == 2


@pytest.mark.slow
def test_with_the_base_the_sample_shows_marks_and_what_is_supervised(room: Room, tiny_model: Path) -> None:
    written = validated(room, rows(), tiny_model)
    text = written.page()[1]
    assert text.count("supervised tokens</h3>") == 10
    assert re.search(r'<span class="read-text">&lt;\|im_start\|&gt;system\nAnswer\.', text)
    assert re.search(r'<span class="learned-text">(late|lost|broken)&lt;\|im_end\|&gt;</span>', text)
    rendering = (
        json.loads((room.workdir.store.open(written.rendering.digest) / "rendering.json").read_text())
        if written.rendering
        else {}
    )
    roles, facts = rendering["roles"], written.rendering
    assert facts is not None
    assert sum(role["tokens"] for role in roles.values()) == facts.train_tokens
    assert {name: role["supervised"] for name, role in roles.items() if role["supervised"]} == {
        "assistant": facts.supervised_tokens
    }
    assert roles["user"]["tokens"] > roles["template"]["tokens"] > 0
    assert f"<td>assistant</td><td>{facts.supervised_tokens:,}</td><td>{facts.supervised_tokens:,}</td>" in text


@pytest.mark.slow
def test_without_the_base_lengths_are_characters_and_the_sample_is_the_bare_text(written: Written) -> None:
    text = written.page()[1]
    assert "tokens are counted once the base model is in the store" in text
    assert "characters per row" in text
    assert text.count('<article class="sample">') == 10


@pytest.mark.slow
def test_what_changed_is_told_with_both_answers(make_room: Callable[[str], Room]) -> None:
    first, changed = make_room("first"), rows()
    before = validated(first, rows()).data
    changed[10]["completion"] = "broken"
    text = validated(first, changed).page(before)[1]
    assert "0 rows added, 0 removed, 1 with another answer" in text
    assert "<del>lost</del> <ins>broken</ins>" in text
    assert "What changed" not in Written(first, before).page()[1]


def test_leaks_are_said_first_and_make_the_page_red(written: Written) -> None:
    leakage = LeakageArtifact(digest="e" * 64, texts=100, items=3, rows=2, unread=("hub:some/set",))
    text = render_data_report(written.facts(leakage=leakage))
    assert text.index("2 train rows contain 3 benchmark items") < text.index("Findings")
    assert '<header class="top bad">' in text
    assert "Not searched for benchmark items: hub:some/set" in text


def test_twins_that_stay_on_both_sides_make_the_page_red_and_a_large_tied_group_is_mentioned(written: Written) -> None:
    facts = written.facts()
    pool = {**facts.report["leakage"]["few_shot_pool x held_out"], "held_out_rows_with_a_twin": 1}
    leakage = {**facts.report["leakage"], "few_shot_pool x held_out": pool}
    tied = {"rows": 30, "groups": 12, "largest": 25}
    text = render_data_report(written.facts(report={**facts.report, "leakage": leakage, "tied": tied}))
    assert '<header class="top bad">' in text
    assert "1 held-out row with the request of a train row, or nearly." in text
    assert "Near-duplicates tie 25 rows into one group" in text
    assert "30 rows of 12 groups nearly repeat rows of an earlier group" in text
    assert "Near-duplicates tie" not in render_data_report(facts)


def test_entries_of_the_matrix_that_are_new_are_shown_too(written: Written) -> None:
    facts = written.facts()
    report = {
        **facts.report,
        "leakage": {**facts.report["leakage"], "few_shot x held_out": {"exact": 4, "note": "allowed"}},
    }
    text = render_data_report(replace(facts, report=report))
    assert "few shot × held out" in text
    assert "<span> allowed</span>" in text


def test_the_flow_runs_page_gets_the_first_rows_with_reason_and_mend(written: Written) -> None:
    made = written.page()[0]
    folder = written.room.workdir.store.open(made.digest)
    refused = json.loads((folder / "refused.json").read_text())
    assert [(row["row_id"], row["file"], row["line"], row["reason"]) for row in refused] == [
        (64, "rows.jsonl", 64, "exact_duplicate"),
        (65, "rows.jsonl", 65, "answer_not_a_label"),
    ]
    assert all(row["mend"] for row in refused)
    assert "firm.de" not in (folder / "refused.json").read_text() + (folder / "summary.md").read_text()


@pytest.mark.slow
def test_equal_rows_give_equal_bytes(written: Written) -> None:
    facts = written.facts()
    assert render_data_report(facts) == render_data_report(written.facts())
