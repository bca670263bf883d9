"""Texts within texts, by their three-word runs: the holder may say more, before, between or after."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tasks.data.text.normalisation import normalised
from tasks.data.text.shingles import Shingles, shingles_of

HELD = 0.8  # share of a text's three-word runs that stand in another, so that it counts as nearly all of it
FEWEST_RUNS = 4  # of a shorter text it cannot be told whether it was copied: anybody may have said so


class Index:
    """Which texts each three-word run stands in; made of few texts, asked about many."""

    def __init__(self, runs: Shingles) -> None:
        text = np.repeat(np.arange(len(runs.offsets) - 1), np.diff(runs.offsets))
        pairs = np.unique(np.stack([runs.hashes, text.astype(np.uint64)], axis=1), axis=0)
        self.sizes = np.bincount(pairs[:, 1].astype(np.int64), minlength=len(runs.offsets) - 1)
        judged = self.sizes[pairs[:, 1].astype(np.int64)] >= FEWEST_RUNS
        self.hashes, self.texts = pairs[judged, 0], pairs[judged, 1].astype(np.int64)

    def held_by(self, said: pl.Series) -> pl.DataFrame:
        """Return `row` (position of the holder), `text` (position of what it holds) and `share` of the text's runs,
        where it is at least HELD.
        """
        runs = shingles_of(said)
        row = np.repeat(np.arange(len(said)), np.diff(runs.offsets))
        first, last = (np.searchsorted(self.hashes, runs.hashes, side=side) for side in ("left", "right"))
        hits = (
            pl.DataFrame({"row": row, "hash": runs.hashes, "first": first, "last": last})
            .filter(pl.col("first") < pl.col("last"))
            .unique(["row", "hash"])
        )
        each = hits.with_columns(at=pl.int_ranges("first", "last")).explode("at")
        held = (
            each.with_columns(text=pl.Series(self.texts[each["at"].to_numpy()], dtype=pl.Int64))
            .group_by("row", "text")
            .len()
        )
        return (
            held.with_columns(share=held["len"] / pl.Series(self.sizes[held["text"].to_numpy()]))
            .filter(pl.col("share") >= HELD)
            .drop("len")
        )


class Documents:
    """A corpus, asked whether it holds texts."""

    def __init__(self, texts: pl.Series) -> None:
        said = normalised(texts)
        self.joined = "\n".join(f" {text} " for text in said)
        self.runs = np.unique(shingles_of(said).hashes)

    def held(self, said: pl.Series) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which normalised texts stand in a document word for word, and of which others nearly all runs stand
        somewhere in the corpus.
        """
        runs = shingles_of(said)
        place = np.minimum(np.searchsorted(self.runs, runs.hashes), max(self.runs.size - 1, 0))
        ends = np.concatenate(
            [
                [0],
                np.cumsum(
                    self.runs[place] == runs.hashes if self.runs.size else np.zeros(runs.hashes.size, dtype=bool)
                ),
            ]
        )
        counts, sizes = ends[runs.offsets[1:]] - ends[runs.offsets[:-1]], np.diff(runs.offsets)
        # Only what has all its runs there can stand there word for word; a text shorter than a run has to be looked
        # for.
        suspects = (counts == sizes) | (said.str.count_matches(" ") < 2).to_numpy()
        exact = np.zeros(len(said), dtype=bool)
        exact[suspects] = [f" {text} " in self.joined for text in said.filter(suspects)]
        return exact, ~exact & (sizes >= FEWEST_RUNS) & (counts >= HELD * sizes)
