"""A row with all its turns: two rows ask the same only if their earlier turns are the same too."""

from __future__ import annotations

import polars as pl

from tasks.data.text.normalisation import normalised


def full_request(rows: pl.DataFrame) -> pl.Series:
    """Return each row's request with all turns before it, one turn per line; needs history and prompt."""
    several = rows["history"].list.len() > 0
    if not several.any():
        return rows["prompt"]
    turns = pl.concat_list("history", pl.concat_list("prompt")).list.join("\n", ignore_nulls=True)
    return rows.select(asked=pl.when(several).then(turns).otherwise("prompt"))["asked"]


def opening(rows: pl.DataFrame) -> pl.Series:
    """Return the normalised request that each row's conversation begins with; needs history, prompt and `normalised`
    (of `full_request`).

    Rows that were unrolled from one conversation share it, and must not be on both sides of the split.
    """
    several = rows["history"].list.len() > 0
    if not several.any():
        return rows["normalised"]
    first = normalised(rows.filter(several)["history"].list.first())
    return rows["normalised"].clone().scatter(several.arg_true(), first)
