"""Rows that have a request only, and the teacher's answers to them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING

import polars as pl

from schemas.errors import DatasetRefused
from schemas.rows import VISIBLE
from tasks.data.layouts.layouts import detected

if TYPE_CHECKING:
    from schemas.sections.data import DataConfig
    from tasks.data.reading.records import Record

JUDGED = 1000  # records that a layout is detected from


def with_answer_column(records: Iterator[Record], data: DataConfig) -> Iterator[Record]:
    """Yield the records, with an empty answer where they have no column for one; conversations are left alone."""
    first = list(islice(records, JUDGED))
    column = detected([record for _, record in first if isinstance(record, dict)], data).columns.get("completion")
    for number, record in chain(first, records):
        yield (
            number,
            {**record, column: None} if column and isinstance(record, dict) and column not in record else record,
        )


def is_open() -> pl.Expr:
    """Return whether a row that could be read has a request and no answer."""
    asks, answers = (pl.col(name).fill_null("").str.contains(VISIBLE) for name in ("prompt", "completion"))
    return pl.col("reason").is_null() & asks & ~answers


def taught(rows: pl.DataFrame, labels: pl.DataFrame | None) -> pl.DataFrame:
    """Return the rows with the teacher's answers, and in `is_taught` which rows have them; a row whose answer was not
    kept has the reason not_labelled. `labels`: row_id, answer, why.
    """
    if labels is None:
        return rows.with_columns(is_taught=pl.lit(False))
    joined = rows.join(labels, on="row_id", how="left", maintain_order="left")
    is_taught = is_open() & pl.col("answer").is_not_null()
    is_lost = is_open() & pl.col("why").is_not_null() & pl.col("answer").is_null()
    return joined.with_columns(
        is_taught=is_taught,
        completion=pl.when(is_taught).then("answer").otherwise("completion"),
        reason=pl.when(is_lost).then(pl.lit("not_labelled")).otherwise("reason"),
        detail=pl.when(is_lost).then("why").otherwise("detail"),
    ).drop("answer", "why")


def taught_held_out(rows: pl.DataFrame, is_allowed: bool) -> pl.DataFrame:
    """Return a finding for each held-out row whose answer is the teacher's; none where these may be held-out truth.

    Raises:
        DatasetRefused: no row has an answer of its own, and the teacher's may not be held out.
    """
    if is_allowed or not rows["is_taught"].any():
        return rows.select("row_id", reason=pl.lit(""), detail=pl.lit("")).clear()
    if rows["is_taught"].all():
        raise DatasetRefused(
            "No row has an answer of its own, and the teacher's are no held-out truth. Answer some rows yourself "
            "(data.held_out_source names files of them), or set data.teacher_held_out: true to measure how often an "
            "arm answers as the teacher does."
        )
    held = rows.filter("is_taught", "is_held_out")
    return held.select("row_id", reason=pl.lit("teacher_held_out"), detail=pl.lit("its group is held out"))
