"""Texts but for their values: "flights from Rome at 9:30" and "flights from Rome at 10" are of one template, and so are
queries that differ in a literal.

Two rows of one template are no repeats, and a model may well be measured on one that it has not learned. But a share of
held-out rows whose template was learned says how far a score tells of new questions, and how far of new values in old
ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from tasks.data.reading.spool import frames_in
from tasks.data.text.normalisation import normalised

QUOTED = r"""\"[^\"\n]{1,200}\"|`[^`\n]{1,200}`|“[^”\n]{1,200}”"""
SINGLE = r"(^|[\s(=,:\[{<>])'[^'\n]{1,200}'"  # an apostrophe within a word opens nothing
NUMBER = r"(?-u:\b)[0-9]+(?:[.,:/-][0-9]+)*(?-u:\b)"
VALUES = f"{QUOTED}|{SINGLE}|{NUMBER}"
VALUE = "value"
FEWEST_WORDS = 3  # a shorter template says nothing: every answer that is one number would be of it


def without_values(texts: pl.Series) -> pl.Series:
    """Return texts, as they are written, with a word in place of each number and each quoted text."""
    which = texts.str.contains(VALUES).fill_null(False)
    if not which.any():
        return texts
    bare = (
        texts.filter(which)
        .str.replace_all(QUOTED, f" {VALUE} ")
        .str.replace_all(SINGLE, f"$1 {VALUE} ")
        .str.replace_all(NUMBER, f" {VALUE} ")
    )
    return texts.clone().scatter(which.arg_true(), bare)


def shared_templates(out: Path, column: str) -> int:
    """Return how many rows of held_out.parquet have in this column the template of a row of train.parquet.

    Memory holds 8 bytes for each held-out row; the train rows are only passed through.
    """
    held = np.concatenate([np.empty(0, dtype=np.uint64), *_templates(out / "held_out.parquet", column)])
    known = np.unique(held)
    is_shared = np.zeros(known.size, dtype=bool)
    for some in _templates(out / "train.parquet", column):
        place = np.minimum(np.searchsorted(known, some), max(known.size - 1, 0))
        is_shared[place[known[place] == some] if known.size else []] = True
    return int(np.isin(held, known[is_shared]).sum())


def _templates(path: Path, column: str) -> Iterator[np.ndarray[tuple[int], np.dtype[np.uint64]]]:
    for frame in frames_in(path, column):
        said = normalised(without_values(frame[column]))
        yield said.filter(said.str.count_matches(" ") >= FEWEST_WORDS - 1).hash(seed=6).to_numpy()
