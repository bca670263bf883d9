"""report.json: what was read, what was found, and what is left, in numbers."""

from __future__ import annotations

from typing import Any

import polars as pl

from tasks.data.sieve import Sieve, tally

FIRST = 20  # rows named per reason; the parquet files name them all
QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.95, 1.0)


def report_of(sieve: Sieve, train: pl.DataFrame, held_out: pl.DataFrame, corpus: pl.DataFrame | None) -> dict[str, Any]:
    """Return the report as JSON values; it holds no text of any row."""
    return {
        "rows": {"read": sieve.read, "train": train.height, "held_out": held_out.height, "refused": sieve.refused.height},
        "groups": {"train": train["group"].n_unique(), "held_out": held_out["group"].n_unique()},
        "taken_out": _reasons(sieve.refused),
        "noted": _reasons(sieve.notes),
        "characters": {side: _lengths(rows) for side, rows in (("train", train), ("held_out", held_out))},
        "documents": None if corpus is None else corpus.height,
    }


def _reasons(table: pl.DataFrame) -> dict[str, Any]:
    found = {}
    for reason, count in tally(table).items():
        rows = table.filter(pl.col("reason") == reason)
        found[reason] = {"rows": count, "action": rows["action"][0], "first": rows["row_id"].head(FIRST).to_list()}
    return found


def _lengths(rows: pl.DataFrame) -> dict[str, list[int]]:
    """Return the length in characters at QUANTILES, per column."""
    return {column: [int(rows[column].str.len_chars().quantile(share, "nearest") or 0) for share in QUANTILES] for column in ("prompt", "completion")}
