"""report.json: what was read, what was found, and what is left, in numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from tasks.data.balance import balance_of, label_counts
from tasks.data.languages import language_counts
from tasks.data.overlap import answers_in
from tasks.data.reasons import REASONS
from tasks.data.sieve import Sieve, tally

if TYPE_CHECKING:
    from schemas.task_config import TaskConfig

FIRST = 20  # rows named per reason; the parquet files name them all
QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.95, 1.0)


def report_of(sieve: Sieve, train: pl.DataFrame, held_out: pl.DataFrame, corpus: pl.DataFrame | None, task: TaskConfig) -> dict[str, Any]:
    """Return the report as JSON values; it holds no text of any row, but a choice's labels."""
    sides = {"train": train, "held_out": held_out}
    return {
        "rows": {"read": sieve.read, "train": train.height, "held_out": held_out.height, "refused": sieve.refused.height},
        "groups": {side: rows["group"].n_unique() for side, rows in sides.items()},
        "taken_out": _reasons(sieve.refused),
        "noted": _reasons(sieve.notes),
        "leakage": leakage_of(sieve, train, held_out, corpus),
        "characters": {side: _lengths(rows) for side, rows in sides.items()},
        "languages": {column: language_counts(sides.values(), column) for column in ("prompt", "completion")},
        "labels": _labels(train, held_out, task.answer.labels) if task.answer.format == "choice" else None,
        "documents": None if corpus is None else corpus.height,
    }


def leakage_of(sieve: Sieve, train: pl.DataFrame, held_out: pl.DataFrame, corpus: pl.DataFrame | None) -> dict[str, dict[str, int]]:
    """Return where what is measured can be seen elsewhere, in rows; the few-shot and retrieval arms draw their examples from the train rows.

    `taken_out` says how many of the rows named are not in the train set any more; an answer that stands in the corpus is what retrieval is for.
    """
    gone = sieve.refused
    found = pl.concat([gone, sieve.notes])
    counts = {kind: found.filter(pl.col("reason") == reason) for kind, reason in (("exact", "in_held_out"), ("near", "near_held_out"))}
    matrix = {"train x held_out": {kind: table.height for kind, table in counts.items()}}
    matrix["train x held_out"]["taken_out"] = gone.filter(pl.col("reason").is_in(["in_held_out", "near_held_out"])).height
    matrix["train x held_out"]["shared_groups"] = len(set(train["group"]) & set(held_out["group"]))
    if corpus is not None:
        matrix["corpus x held_out"] = {"answers_word_for_word": answers_in(corpus, held_out)}
    return matrix


def _reasons(table: pl.DataFrame) -> dict[str, Any]:
    found = {}
    for reason, count in tally(table).items():
        rows = table.filter(pl.col("reason") == reason)
        found[reason] = {"rows": count, "action": rows["action"][0], "mend": REASONS[reason].mend, "first": rows["row_id"].head(FIRST).to_list()}
    return found


def _lengths(rows: pl.DataFrame) -> dict[str, list[int]]:
    """Return the length in characters at QUANTILES, per column."""
    return {column: [int(rows[column].str.len_chars().quantile(share, "nearest") or 0) for share in QUANTILES] for column in ("prompt", "completion")}


def _labels(train: pl.DataFrame, held_out: pl.DataFrame, labels: tuple[str, ...]) -> dict[str, Any]:
    counts = {"train": label_counts(train, labels), "held_out": label_counts(held_out, labels)}
    return {**counts, "balance": balance_of(**counts)}
