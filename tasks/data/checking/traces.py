"""Reasoning traces of rows: put into a column of their own, and learned or left out as base.thinking says."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from tasks.data.checking.sieve import FINDING, Sieve

NAMES = r"<\|?(?:think|thinking|thought|reasoning|scratchpad)\|?>"
BLOCK = rf"(?is)^\s*{NAMES}(.*?){NAMES.replace('<', '</', 1)}\s*(.*)$"
BEGUN = rf"(?i)^\s*(?:{NAMES}|<\|channel\|>analysis)"
DETAIL = "the answer begins with a reasoning trace, and base.thinking is off"
DAMAGED = "the answer begins with a reasoning trace that does not end"


def sift_traces(sieve: Sieve, thinking: str) -> None:
    """Take out or note the rows whose trace is not learned, or has no end, and leave the others' as base.thinking
    says.
    """
    sieve.rows = with_traces(sieve.rows, thinking)
    sieve.sift(unlearned_traces(sieve.rows, thinking))
    if thinking == "off":
        sieve.rows = sieve.rows.with_columns(trace=pl.lit(None, dtype=pl.String))


def traces_in(train: Path) -> list[str]:
    """Return in words how many train rows have a trace, if any has."""
    if "trace" not in pl.read_parquet_schema(train):
        return []
    traces = pl.read_parquet(train, columns=["trace"])["trace"]
    count = traces.len() - traces.null_count()
    without = f"; {traces.null_count()} have none, and teach to answer at once" if traces.null_count() else ""
    return [f"data: {count} of {traces.len()} train rows have a reasoning trace, which is learned{without}"]


def with_traces(rows: pl.DataFrame, thinking: str) -> pl.DataFrame:
    """Return the rows with the trace of each answer in `trace` and not in `completion`.

    Args:
        rows: need history and completion.
        thinking: base.thinking; unless it is "keep", the traces of earlier turns are left out, as chat templates do.
    """
    answer = pl.col("completion")
    inner = answer.str.extract(BLOCK, 1).str.strip_chars()
    turns = pl.col("history").list.eval(pl.coalesce(pl.element().str.extract(BLOCK, 2), pl.element()))
    return rows.with_columns(
        trace=pl.when(inner != "").then(inner),
        completion=pl.coalesce(answer.str.extract(BLOCK, 2), answer),
        history=pl.col("history") if thinking == "keep" else turns,
    )


def unlearned_traces(rows: pl.DataFrame, thinking: str) -> pl.DataFrame:
    """Return the findings of rows whose trace would not be learned, or that has no end."""
    is_damaged = pl.col("completion").str.contains(BEGUN)
    is_unlearned = pl.col("trace").is_not_null() & (thinking == "off")
    detail = pl.when(is_damaged).then(pl.lit(DAMAGED)).otherwise(pl.lit(DETAIL))
    found = rows.filter((is_damaged | is_unlearned).fill_null(False))
    return found.select("row_id", reason=pl.lit("reasoning_trace"), detail=detail).select(list(FINDING))
