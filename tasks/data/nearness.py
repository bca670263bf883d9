"""Near-duplicates: pairs of texts that share most of their shingles.

Candidates come from MinHash signatures (rensa) and locality-sensitive hashing: texts that agree in one whole band of their signature.
Each candidate pair is then compared shingle by shingle, so that a pair that is told is one. Only the bands' hashes stay in memory:
8 bytes a band, 168 bytes a row at a threshold of 0.8. Broder, "On the resemblance and containment of documents" (1997); Leskovec,
Rajaraman and Ullman, "Mining of Massive Datasets", ch. 3.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
from numpy.typing import NDArray
from rensa import RMinHash  # type: ignore[import-untyped, unused-ignore]

from tasks.data.shingles import CHUNK, Hashes, Shingles, shingles_of, template_of

Pairs = NDArray[np.int64]

PERMUTATIONS = 128
SEED = 42
SIGNED = 500  # texts signed at once: rensa gives signatures as lists, which are twice as fast while they fit the processor's cache
RECALL = 0.995  # chance that a pair exactly at the threshold becomes a candidate
PAIRS = {"first": pl.Int64, "second": pl.Int64, "similarity": pl.Float64}


def near_pairs(texts: pl.Series, threshold: float, advance: Callable[[int, int], None] = lambda done, total: None) -> pl.DataFrame:
    """Return pairs of positions (first < second) whose texts have a Jaccard similarity of at least `threshold`.

    Of a cluster of n texts that are all alike, about n pairs are given, not all n * (n - 1) / 2; each of its texts is in one at least.

    Args:
        texts: spoken texts (tasks.data.speech.spoken).
        threshold: above 0, at most 1.
        advance: hears (texts done, texts).
    """
    template = template_of(texts)
    bands, rows = banding(threshold)
    signed = np.empty((len(texts), bands), dtype=np.uint64)
    has_any = np.zeros(len(texts), dtype=bool)
    for start in range(0, len(texts), CHUNK):
        shingles = shingles_of(texts[start : start + CHUNK]).without(template)
        signed[start : start + CHUNK] = _bands(shingles, bands, rows)
        has_any[start : start + CHUNK] = np.diff(shingles.offsets) > 0
        advance(min(start + CHUNK, len(texts)), len(texts))
    return _verified(_candidates(signed, has_any), texts, template, threshold)


def banding(threshold: float) -> tuple[int, int]:
    """Return (bands, rows a band): the widest band that still finds a pair at the threshold with a chance of RECALL."""
    wide = [rows for rows in range(1, PERMUTATIONS + 1) if 1 - (1 - threshold**rows) ** (PERMUTATIONS // rows) >= RECALL]
    rows = max(wide, default=1)
    return PERMUTATIONS // rows, rows


def _bands(shingles: Shingles, bands: int, rows: int) -> Hashes:
    signature = np.empty((len(shingles.offsets) - 1, PERMUTATIONS), dtype=np.uint64)
    for start in range(0, len(signature), SIGNED):
        ends = shingles.offsets[start : start + SIGNED + 1]
        some = shingles.hashes[ends[0] : ends[-1]]
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(some, (ends - ends[0]).astype(np.uint64), PERMUTATIONS, SEED)
        signature[start : start + SIGNED] = matrix.to_rows()
    hashes = np.zeros((signature.shape[0], bands), dtype=np.uint64)
    for row in range(rows):
        hashes = (hashes ^ signature[:, row : bands * rows : rows]) * np.uint64(0x9E3779B97F4A7C15)
        hashes ^= hashes >> np.uint64(32)
    return hashes


def _candidates(signed: Hashes, has_any: NDArray[np.bool_]) -> Pairs:
    """Return distinct pairs of positions that agree in a band: each with the one before it and with the first of its bucket."""
    places = np.flatnonzero(has_any)
    found: list[Pairs] = []
    for band in range(signed.shape[1]):
        values = signed[places, band]
        order = np.argsort(values, kind="stable")
        is_same = values[order][1:] == values[order][:-1]
        runs = np.maximum.accumulate(np.where(np.concatenate([[False], is_same]), 0, np.arange(order.size))) if order.size else order
        later = np.flatnonzero(is_same) + 1
        found += [np.stack([places[order[other]], places[order[later]]], axis=1) for other in (later - 1, runs[later])]
    return np.unique(np.concatenate(found), axis=0) if found else np.empty((0, 2), dtype=np.int64)


def _verified(pairs: Pairs, texts: pl.Series, template: Hashes, threshold: float) -> pl.DataFrame:
    kept: list[tuple[int, int, float]] = []
    for start in range(0, len(pairs), CHUNK):
        some = pairs[start : start + CHUNK]
        places = np.unique(some)
        shingles = dict(zip(places.tolist(), shingles_of(texts.gather(places)).without(template).sets(), strict=True))
        told = [(first, second, _jaccard(shingles[first], shingles[second])) for first, second in some.tolist()]
        kept.extend(pair for pair in told if pair[2] >= threshold)
    return pl.DataFrame(kept, schema=PAIRS, orient="row").sort("second", "first")


def _jaccard(one: frozenset[int], other: frozenset[int]) -> float:
    common = len(one & other)
    return common / (len(one) + len(other) - common)
