"""Copies of selected rows: polars lets them share the memory of the whole frame, which then cannot be freed."""

from __future__ import annotations

import polars as pl


def deep_copy(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with their own copy of the texts, so that the frame that they come from can be freed."""
    return pl.DataFrame(pl.from_arrow(rows.to_arrow()))
