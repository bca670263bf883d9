"""What every arm leaves: its answers with their scores, and what they say together."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars

from schemas.artifacts import ArmArtifact
from schemas.rows import with_optional
from tasks.answers.metrics.choice import confusions, label_of, macro_f1
from tasks.answers.metrics.json_fields import judged_fields
from tasks.answers.scoring import Scored, Scorer
from tasks.arms.evidence import SCHEMA, recall_of
from tasks.inference.prompts.prompt_builder import Request

if TYPE_CHECKING:
    from schemas.sections.task import TaskConfig

MOST_CONFUSIONS = 20
KNOWN = {"prompt_tokens": polars.Int64, "output_tokens": polars.Int64, "is_stopped": polars.Boolean, **SCHEMA}


def held_out_rows(data: Path, limit: int | None) -> polars.DataFrame:
    """Return the held-out rows in the order of their ids, the first `limit` of them when there is a limit, with the
    further answers that are right (`also`, or null).
    """
    rows = with_optional(polars.read_parquet(data / "held_out.parquet"))
    file = data / "also_right.parquet"
    also = polars.read_parquet(file) if file.exists() else None
    none = polars.lit(None, dtype=polars.List(polars.String)).alias("also")
    rows = (rows.with_columns(none) if also is None else rows.join(also, on="row_id", how="left")).sort("row_id")
    return rows if limit is None else rows.head(limit)


def requests_in(rows: polars.DataFrame) -> list[Request]:
    """Return the request of every held-out row."""
    asked = rows.select("prompt", "history", "tools").iter_rows()
    return [Request(prompt, tuple(history), tools) for prompt, history, tools in asked]


@dataclass(frozen=True)
class Answers:
    """What an arm answered.

    Attributes:
        arm: its name.
        rows: the held-out rows, by row_id.
        texts: one answer a row.
        known: what else is known of each answer: the columns of KNOWN.
        seconds_per_row: that the arm took.
        top_k: how much it retrieved; None where it retrieves nothing.
        search: how it searched.
    """

    arm: str
    rows: polars.DataFrame
    texts: Sequence[str]
    known: polars.DataFrame
    seconds_per_row: float
    top_k: int | None = None
    search: str = "bm25"


def sealed_answers(answers: Answers, task: TaskConfig, data: Path, out: Path) -> ArmArtifact:
    """Score an arm's answers, write answers.parquet and details.json into `out`, and return the means over its rows.

    Raises:
        ConfigRefused: the user's own scorer fails on a row.
    """
    scorer, golds = Scorer.for_task(task, data), answers.rows["completion"]
    marks = _best_marks(scorer, answers)
    table = answers.rows.select(
        "row_id",
        "group",
        polars.Series("output", answers.texts, dtype=polars.String),
        polars.Series("score", [mark.score for mark in marks], dtype=polars.Float64),
        polars.Series("is_valid", [mark.is_valid for mark in marks], dtype=polars.Boolean),
        polars.Series("strict_score", [mark.strict for mark in marks], dtype=polars.Float64),
        polars.Series("lenient_score", [mark.lenient for mark in marks], dtype=polars.Float64),
    ).hstack(answers.known)
    table.write_parquet(out / "answers.parquet")
    also = {name: _mean(mark.also[name] for mark in marks) for name in task.also}
    together, details = _details(task, list(zip(map(scorer.read, answers.texts), golds, strict=True)))
    (out / "details.json").write_text(json.dumps(details, indent=1), encoding="utf-8")
    return ArmArtifact(
        arm=answers.arm,
        rows=table.height,
        score=_mean(table["score"]),
        valid_rate=_mean(table["is_valid"]),
        stopped_rate=_mean(table["is_stopped"]),
        prompt_tokens=_mean(table["prompt_tokens"]),
        output_tokens=_mean(table["output_tokens"]),
        seconds_per_row=answers.seconds_per_row,
        reading=task.reading,
        strict_score=_mean(table["strict_score"]),
        lenient_score=_mean(table["lenient_score"]),
        also=also | together,
        retrieved=recall_of(table, answers.top_k, answers.search),
    )


def _best_marks(scorer: Scorer, answers: Answers) -> list[Scored]:
    """Return each answer's score against the right answer that it is nearest to."""
    rows = answers.rows.select("row_id", "completion", "also").iter_rows()
    asked = [
        (row, text, right)
        for text, (row, gold, also) in zip(answers.texts, rows, strict=True)
        for right in (gold, *(also or ()))
    ]
    best: dict[int, Scored] = {}
    for (row, _, _), mark in zip(asked, scorer.score_rows(asked), strict=True):
        if row not in best or mark.score > best[row].score:
            best[row] = mark
    return list(best.values())


def _details(task: TaskConfig, pairs: Sequence[tuple[str, str]]) -> tuple[dict[str, float], dict[str, Any]]:
    """Return what the answers say only together: a number a name, and details for people."""
    if task.answer.format == "choice":
        labels = [(label_of(given, task.answer.labels), label_of(gold, task.answer.labels)) for given, gold in pairs]
        return {"macro_f1": macro_f1(labels)}, {"confusions": confusions(labels)[:MOST_CONFUSIONS]}
    if "json_fields" in (task.metric, *task.also):
        right, seen = Counter[str](), Counter[str]()
        is_set = task.scoring.lists == "set"
        for given, gold in pairs:
            judged = judged_fields(given, gold, task.scoring.tolerance, lists_are_sets=is_set)
            fields = judged_fields("{}", gold) or {} if judged is None else judged
            seen.update(fields.keys())
            right.update(field for field, is_right in fields.items() if is_right)
        return {}, {"fields": [(field, right[field], rows) for field, rows in seen.items()]}
    return {}, {}


def _mean(values: Iterable[float]) -> float:
    numbers = [float(value) for value in values]
    return sum(numbers) / len(numbers)
