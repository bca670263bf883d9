"""Texts as sets of shingles: every run of three words, hashed. Boilerplate that most rows share is left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Counts = NDArray[np.int64]

WORDS = 3
CHUNK = 50_000  # texts split into words at once
SAMPLE = 2000
FEWEST = 20  # with fewer texts no boilerplate is detected
SHARED = 0.5  # share of the texts from which on a shingle counts as boilerplate
# Scripts that put no space between words: each character counts as a word.
UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
PRIMES = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], dtype=np.uint64)


@dataclass(frozen=True)
class Shingles:
    """The shingles of several texts: those of text n are hashes[offsets[n]:offsets[n + 1]]."""

    hashes: Hashes
    offsets: Counts

    def without(self, template: Hashes) -> Shingles:
        """Return the shingles without those of `template`, which is sorted."""
        if not template.size or not self.hashes.size:
            return self
        place = np.minimum(np.searchsorted(template, self.hashes), template.size - 1)
        keep = template[place] != self.hashes
        kept = np.concatenate([[0], np.cumsum(keep)])
        return Shingles(self.hashes[keep], kept[self.offsets])

    def sets(self) -> Iterator[frozenset[int]]:
        """Yield each text's shingles as a set."""
        for start, end in zip(self.offsets[:-1], self.offsets[1:], strict=True):
            yield frozenset(self.hashes[start:end].tolist())


def shingles_of(texts: pl.Series) -> Shingles:
    """Return the shingles of normalised texts; a text with fewer words than WORDS is one shingle."""
    if texts.str.contains(UNSPACED).any():
        texts = texts.str.replace_all(f"({UNSPACED})", " $1 ").str.replace_all(" +", " ").str.strip_chars()
    lists = texts.str.split(" ")
    lengths = lists.list.len().to_numpy().astype(np.int64)
    words = lists.explode(empty_as_null=False).hash(seed=3).to_numpy()
    ends = np.repeat(np.cumsum(lengths), counts := np.where(lengths > 0, np.maximum(lengths - WORDS + 1, 1), 0))
    offsets = np.concatenate([[0], np.cumsum(counts)])
    starts = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - (np.cumsum(lengths) - lengths), counts)
    return Shingles(_combined(words, starts, ends), offsets)


def _combined(words: Hashes, starts: Counts, ends: Counts) -> Hashes:
    """Return one hash of the WORDS words from each start on; words beyond the text's end are ignored."""
    hashes = np.zeros(starts.size, dtype=np.uint64)
    for step in range(WORDS):
        at = starts + step
        word = np.where(at < ends, words[np.minimum(at, words.size - 1)], np.uint64(0)) if words.size else hashes
        hashes = (hashes ^ word) * PRIMES[step]
        hashes ^= hashes >> np.uint64(29)
    return hashes


def sampled(count: int) -> Counts:
    """Return which of `count` texts are examined for boilerplate: evenly spaced ones."""
    return np.arange(0, count, max(1, count // SAMPLE), dtype=np.int64)[:SAMPLE]


def template_of(texts: pl.Series) -> Hashes:
    """Return the sorted shingles that occur in at least half of the texts, judged by evenly spaced ones."""
    if len(texts) < FEWEST:
        return np.array([], dtype=np.uint64)
    sample = texts.gather(sampled(len(texts)))
    distinct = [np.fromiter(found, dtype=np.uint64) for found in shingles_of(sample).sets()]
    hashes, counts = np.unique(np.concatenate(distinct), return_counts=True)
    return np.asarray(hashes[counts >= SHARED * len(sample)], dtype=np.uint64)
