"""Templates: texts without their values. "flights from Rome at 9:30" and "flights from Rome at 10" share a template,
and so do queries that differ only in a literal.

Two rows of one template are not duplicates, and a model may well be evaluated on one that it has not seen. But the
share of held-out rows with a template from training shows how far a score is about new questions, and how far about new
values in known ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from tasks.data.reading.spool import frames_in
from tasks.data.text.normalisation import normalised

QUOTED = r"""\"[^\"\n]{1,200}\"|`[^`\n]{1,200}`|“[^”\n]{1,200}”"""
SINGLE = r"(^|[\s(=,:\[{<>])'[^'\n]{1,200}'"  # an apostrophe within a word is not a quote
NUMBER = r"(?-u:\b)[0-9]+(?:[.,:/-][0-9]+)*(?-u:\b)"
VALUES = f"{QUOTED}|{SINGLE}|{NUMBER}"
VALUE = "value"
FEWEST_WORDS = 3  # a shorter template is meaningless: all answers that are one number would share it


def without_values(texts: pl.Series) -> pl.Series:
    """Return texts, not normalised, with a placeholder word for each number and each quoted text."""
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
    """Return how many rows of held_out.parquet share this column's template with a row of train.parquet.

    It takes 8 bytes of memory per held-out row; the train rows are streamed.
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
