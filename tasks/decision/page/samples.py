"""Rows for the report's side-by-side table: evenly spaced through the held-out set, so that nobody picked them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

SAMPLES = 10


@dataclass(frozen=True)
class SampleAnswer:
    """One arm's answer to one row, and its score (0..1)."""

    arm: str
    output: str
    score: float
    is_valid: bool


@dataclass(frozen=True)
class Sample:
    """One held-out row with the reference answer and every arm's."""

    row_id: int
    prompt: str  # with the turns before it, if there are any
    reference: str
    answers: tuple[SampleAnswer, ...]


def read_samples(held_out: Path, answers: Mapping[str, Path], count: int = SAMPLES) -> tuple[Sample, ...]:
    """Return up to `count` rows that every arm answered.

    Args:
        held_out: held_out.parquet of the data artifact.
        answers: answers.parquet of each arm, by the arm's name, in display order.
        count: rows wanted.
    """
    tables = {
        arm: pl.read_parquet(path).rows_by_key("row_id", named=True, unique=True) for arm, path in answers.items()
    }
    rows = pl.read_parquet(held_out).sort("row_id")
    for table in tables.values():
        rows = rows.filter(pl.col("row_id").is_in(list(table)))
    shown = min(count, rows.height)
    picked = [place * rows.height // shown for place in range(shown)]
    return tuple(_sample(row, tables) for row in rows[picked].iter_rows(named=True))


def _sample(row: dict[str, Any], tables: Mapping[str, Mapping[Any, dict[str, Any]]]) -> Sample:
    row_id = row["row_id"]
    answers = tuple(_answer(arm, table[row_id]) for arm, table in tables.items())
    return Sample(row_id, "\n\n".join([*row["history"], row["prompt"]]), row["completion"], answers)


def _answer(arm: str, row: dict[str, object]) -> SampleAnswer:
    return SampleAnswer(arm, str(row["output"]), float(str(row["score"])), bool(row["is_valid"]))
