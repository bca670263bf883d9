"""Values that occur more than once, found by sorting: a hash table would take many times the memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray


def repeated(values: NDArray[Any]) -> NDArray[np.int64]:
    """Return the positions, ascending, of the values that occur more than once."""
    ordered = np.sort(values)
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not twice.size:
        return np.empty(0, dtype=np.int64)
    place = np.searchsorted(twice, values)
    np.minimum(place, twice.size - 1, out=place)
    return np.flatnonzero(twice[place] == values)


def rows_repeating(rows: pl.DataFrame, column: str) -> pl.DataFrame:
    """Return the rows, in their order, that share their value of a fingerprint column with other rows."""
    return rows[repeated(rows[column].to_numpy())]
