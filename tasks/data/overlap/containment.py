"""Containment of texts in texts, by three-word shingles: the containing text may have more before, between or after."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tasks.data.text.normalisation import normalised
from tasks.data.text.shingles import Shingles, shingles_of

HELD = 0.8  # share of a text's shingles that another text has to contain to count as containing nearly all of it
FEWEST_RUNS = 4  # a text with fewer shingles may occur by chance, so it is not judged


class Index:
    """An index from shingles to the few texts that contain them, queried with many texts."""

    def __init__(self, runs: Shingles) -> None:
        text = np.repeat(np.arange(len(runs.offsets) - 1), np.diff(runs.offsets))
        pairs = np.unique(np.stack([runs.hashes, text.astype(np.uint64)], axis=1), axis=0)
        self.sizes = np.bincount(pairs[:, 1].astype(np.int64), minlength=len(runs.offsets) - 1)
        judged = self.sizes[pairs[:, 1].astype(np.int64)] >= FEWEST_RUNS
        self.hashes, self.texts = pairs[judged, 0], pairs[judged, 1].astype(np.int64)

    def held_by(self, said: pl.Series) -> pl.DataFrame:
        """Return `row` (containing text), `text` (contained one) and `share` of the text's shingles, from HELD on."""
        runs = shingles_of(said)
        row = np.repeat(np.arange(len(said)), np.diff(runs.offsets))
        first, last = (np.searchsorted(self.hashes, runs.hashes, side=side) for side in ("left", "right"))
        hits = pl.DataFrame({"row": row, "hash": runs.hashes, "first": first, "last": last})
        hits = hits.filter(pl.col("first") < pl.col("last")).unique(["row", "hash"])
        each = hits.with_columns(at=pl.int_ranges("first", "last")).explode("at")
        named = each.with_columns(text=pl.Series(self.texts[each["at"].to_numpy()], dtype=pl.Int64))
        held = named.group_by("row", "text").len()
        share = held["len"] / pl.Series(self.sizes[held["text"].to_numpy()])
        return held.with_columns(share=share).filter(pl.col("share") >= HELD).drop("len")


class Documents:
    """A corpus, queried for texts that it contains."""

    def __init__(self, texts: pl.Series) -> None:
        said = normalised(texts)
        self.joined = "\n".join(f" {text} " for text in said)
        self.runs = np.unique(shingles_of(said).hashes)

    def held(self, said: pl.Series) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which normalised texts are in a document word for word, and which others by nearly all shingles."""
        runs = shingles_of(said)
        place = np.minimum(np.searchsorted(self.runs, runs.hashes), max(self.runs.size - 1, 0))
        none = np.zeros(runs.hashes.size, dtype=bool)
        ends = np.concatenate([[0], np.cumsum(self.runs[place] == runs.hashes if self.runs.size else none)])
        counts, sizes = ends[runs.offsets[1:]] - ends[runs.offsets[:-1]], np.diff(runs.offsets)
        # Only a text with all its shingles there can be there word for word; one shorter than a shingle is searched
        # for.
        suspects = (counts == sizes) | (said.str.count_matches(" ") < 2).to_numpy()
        exact = np.zeros(len(said), dtype=bool)
        exact[suspects] = [f" {text} " in self.joined for text in said.filter(suspects)]
        return exact, ~exact & (sizes >= FEWEST_RUNS) & (counts >= HELD * sizes)
