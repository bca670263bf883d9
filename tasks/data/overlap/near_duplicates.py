"""Near-duplicates: pairs of texts that share most of their shingles.

Candidates come from MinHash signatures (rensa) and locality-sensitive hashing: texts that agree in one whole band of
their signature. Each candidate pair is then compared shingle by shingle, so that every reported pair is one. Only the
bands' hashes stay in memory: 4 bytes per band, 84 bytes per row at a threshold of 0.8; hash collisions are sorted out
by the comparison. Broder, "On the resemblance and containment of documents" (1997);
Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", ch. 3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray
from rensa import RMinHash  # type: ignore[import-untyped, unused-ignore]

from tasks.data.overlap.repeats import repeated
from tasks.data.text.shingles import CHUNK, Hashes, Shingles, sampled, shingles_of, template_of

Places = NDArray[np.int64]
Bands = NDArray[np.uint32]

PERMUTATIONS = 128
SEED = 42
# Texts signed at once: rensa returns signatures as lists, which is twice as fast while they fit the CPU cache.
SIGNED = 500
RECALL = 0.995  # probability that a pair exactly at the threshold becomes a candidate
COMPARED = 5_000  # pairs compared at once: a text's set of shingles takes kilobytes
FETCHED = 100_000  # pairs whose texts are fetched at once
BOILERPLATE = 200  # texts by which the template of the first ones is judged
PAIRS = {"first": pl.Int64, "second": pl.Int64, "similarity": pl.Float64}


class Texts(Protocol):
    """Texts by their number: a polars series, or texts on disk."""

    def __len__(self) -> int:
        """Count them."""
        ...

    def gather(self, indices: Places, /) -> pl.Series:
        """Return the texts with these numbers, in this order."""
        ...


def near_pairs(
    texts: Texts, threshold: float, advance: Callable[[int, int], None] = lambda done, total: None
) -> pl.DataFrame:
    """Return pairs of positions (first < second) whose texts have a Jaccard similarity of at least `threshold`.

    A cluster of n similar texts gives about n pairs, not all n * (n - 1) / 2; each of its texts is in at least one.
    With BOILERPLATE texts or more, appended texts only add pairs: those among the first n depend on these alone.

    Args:
        texts: normalised texts (tasks.data.text.normalisation.normalised).
        threshold: above 0, at most 1.
        advance: called with (texts done, all texts), from the first text on again where the template changes.
    """
    found = [pl.DataFrame(schema=PAIRS)]
    for stretch in _stretches(texts):
        candidates = _candidates(*_signed(texts, stretch, threshold, advance))
        found.append(_verified(candidates[candidates[:, 1] >= stretch.start], texts, stretch.template, threshold))
    return pl.concat(found).sort("second", "first")


@dataclass(frozen=True)
class Stretch:
    """The texts from `start` to before `end`, compared with each other and all before, less `template`'s shingles."""

    start: int
    end: int
    template: Hashes


def _stretches(texts: Texts) -> list[Stretch]:
    """Return the stretches, one after the other: the template that the first BOILERPLATE texts share is judged again
    whenever there are twice as many texts, so that no text's template depends on much later ones. Where it stays the
    same the stretch goes on; the texts are therefore signed about once, and at most twice.
    """
    found: list[Stretch] = []
    count, start, judged = len(texts), 0, BOILERPLATE
    while start < count:
        template, end = template_of(texts.gather(sampled(min(judged, count)))), min(2 * judged, count)
        if found and np.array_equal(found[-1].template, template):
            start = found.pop().start
        found.append(Stretch(start, end, template))
        start, judged = end, 2 * judged
    return found


def _signed(
    texts: Texts, stretch: Stretch, threshold: float, advance: Callable[[int, int], None]
) -> tuple[Bands, NDArray[np.bool_]]:
    """Return the bands of all texts up to the stretch's end (bands x texts), and whether a text has any shingle."""
    bands, rows = banding(threshold)
    signed = np.empty((bands, stretch.end), dtype=np.uint32)
    has_any = np.zeros(stretch.end, dtype=bool)
    for start in range(0, stretch.end, CHUNK):
        end = min(start + CHUNK, stretch.end)
        shingles = shingles_of(texts.gather(np.arange(start, end))).without(stretch.template)
        signed[:, start:end] = _bands(shingles, bands, rows).T
        has_any[start:end] = np.diff(shingles.offsets) > 0
        advance(end, len(texts))
    return signed, has_any


def banding(threshold: float) -> tuple[int, int]:
    """Return (bands, rows a band): the widest band that still finds a pair at the threshold with probability RECALL."""
    wide = [
        rows for rows in range(1, PERMUTATIONS + 1) if 1 - (1 - threshold**rows) ** (PERMUTATIONS // rows) >= RECALL
    ]
    rows = max(wide, default=1)
    return PERMUTATIONS // rows, rows


def _bands(shingles: Shingles, bands: int, rows: int) -> Bands:
    signature = np.empty((len(shingles.offsets) - 1, PERMUTATIONS), dtype=np.uint64)
    for start in range(0, len(signature), SIGNED):
        ends = shingles.offsets[start : start + SIGNED + 1]
        some = shingles.hashes[ends[0] : ends[-1]]
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(
            some, (ends - ends[0]).astype(np.uint64), PERMUTATIONS, SEED
        )
        signature[start : start + SIGNED] = matrix.to_rows()
    hashes: Hashes = np.zeros((signature.shape[0], bands), dtype=np.uint64)
    for row in range(rows):
        hashes = (hashes ^ signature[:, row : bands * rows : rows]) * np.uint64(0x9E3779B97F4A7C15)
        hashes ^= hashes >> np.uint64(32)
    return hashes.astype(np.uint32)


def _candidates(signed: Bands, has_any: NDArray[np.bool_]) -> Places:
    """Return distinct pairs that agree in a band: each position with the one before it and with its bucket's first."""
    found = np.empty(0, dtype=np.uint64)  # both positions in one number, so that pairs sort fast
    for values in signed:
        places = repeated(values)
        places = places[has_any[places]]
        ordered = places[np.argsort(values[places], kind="stable")]
        is_same = values[ordered][1:] == values[ordered][:-1]
        firsts = (
            np.maximum.accumulate(np.where(np.concatenate([[False], is_same]), 0, np.arange(ordered.size)))
            if ordered.size
            else ordered
        )
        later = np.flatnonzero(is_same) + 1
        pairs = [
            ordered[other].astype(np.uint64) << np.uint64(32) | ordered[later].astype(np.uint64)
            for other in (later - 1, firsts[later])
        ]
        found = np.unique(np.concatenate([found, *pairs]))
    return np.stack([found >> np.uint64(32), found & np.uint64(0xFFFFFFFF)], axis=1).astype(np.int64)


def _verified(pairs: Places, texts: Texts, template: Hashes, threshold: float) -> pl.DataFrame:
    kept: list[pl.DataFrame] = [pl.DataFrame(schema=PAIRS)]
    for start in range(0, len(pairs), FETCHED):
        some = pairs[start : start + FETCHED]
        places = np.unique(some)
        fetched, numbers = texts.gather(places), np.searchsorted(places, some)
        similarity = np.concatenate(
            [_similar(numbers[at : at + COMPARED], fetched, template) for at in range(0, len(some), COMPARED)]
        )
        near = similarity >= threshold
        kept.append(pl.DataFrame({"first": some[near, 0], "second": some[near, 1], "similarity": similarity[near]}))
    return pl.concat(kept)


def _similar(pairs: Places, texts: pl.Series, template: Hashes) -> NDArray[np.float64]:
    places = np.unique(pairs)
    shingles = dict(zip(places.tolist(), shingles_of(texts.gather(places)).without(template).sets(), strict=True))
    return np.array([_jaccard(shingles[first], shingles[second]) for first, second in pairs.tolist()])


def _jaccard(one: frozenset[int], other: frozenset[int]) -> float:
    common = len(one & other)
    return common / (len(one) + len(other) - common)
