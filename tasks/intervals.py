"""Confidence intervals of means and of paired differences, by cluster bootstrap.

Rows of one group (one phrasing, one document) are correlated, so whole groups are resampled, not rows; otherwise the
interval is too narrow and a null result wins by luck. Percentile bootstrap: Efron and Tibshirani, An Introduction
to the Bootstrap (1993), ch. 13; drawing whole clusters: Davison and Hinkley, Bootstrap Methods and their Application
(1997), 3.8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RESAMPLES = 10_000
BLOCK = 2_000_000  # counts in memory at once: 16 MB


@dataclass(frozen=True)
class Interval:
    """A mean and the bounds of its confidence interval."""

    mean: float
    low: float
    high: float


def mean_interval(
    values: Sequence[float] | Floats, *, confidence: float, seed: int, clusters: Sequence[str] | None = None
) -> Interval:
    """Return the mean of scores in 0..1 with its interval.

    Args:
        values: one score per row, shape (rows,).
        confidence: such as 0.95.
        seed: of the bootstrap.
        clusters: the group of each row; without it every row is its own group.

    Raises:
        ValueError: there are no values.
    """
    interval = _bootstrap(np.asarray(values, dtype=np.float64), confidence, seed, clusters)
    return Interval(interval.mean, max(interval.low, 0.0), min(interval.high, 1.0))


def paired_interval(
    before: Sequence[float] | Floats,
    after: Sequence[float] | Floats,
    *,
    confidence: float,
    seed: int,
    clusters: Sequence[str] | None = None,
) -> Interval:
    """Return the mean of (after - before), row by row on the same rows, with its interval.

    Raises:
        ValueError: the two differ in length, or are empty.
    """
    first, second = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(f"a paired difference needs the same rows on both sides, not {first.size} and {second.size}")
    interval = _bootstrap(second - first, confidence, seed, clusters)
    return Interval(interval.mean, max(interval.low, -1.0), min(interval.high, 1.0))


def _bootstrap(values: Floats, confidence: float, seed: int, clusters: Sequence[str] | None) -> Interval:
    if values.size == 0:
        raise ValueError("an interval needs at least one row")
    sums, sizes = _by_cluster(values, clusters)
    mean = float(values.mean())
    if np.ptp(sums / sizes) == 0.0:
        return _without_spread(mean, len(sums), confidence)
    means = _resampled_means(sums, sizes, seed)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(mean, float(low), float(high))


def _by_cluster(values: Floats, clusters: Sequence[str] | None) -> tuple[Floats, Floats]:
    if clusters is None:
        return values, np.ones_like(values)
    _, index = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    return np.bincount(index, weights=values).astype(np.float64), np.bincount(index).astype(np.float64)


def _resampled_means(sums: Floats, sizes: Floats, seed: int) -> Floats:
    """Draw as many clusters as there are, with replacement, RESAMPLES times; return each draw's mean over its rows."""
    random = np.random.default_rng(seed)
    count = len(sums)
    even = np.full(count, 1 / count)
    means = []
    for start in range(0, RESAMPLES, step := max(1, BLOCK // count)):
        draws = random.multinomial(count, even, size=min(step, RESAMPLES - start))
        means.append((draws @ sums) / (draws @ sizes))
    return np.concatenate(means)


def _without_spread(mean: float, count: int, confidence: float) -> Interval:
    """Return bounds for rows with equal values, where a bootstrap would claim certainty.

    After n equal outcomes, an unseen outcome may still have a rate of up to 1 - (1 - confidence)**(1/n): the "rule of
    three" (Hanley and Lippman-Hand 1983, JAMA 249:1743).
    """
    unseen = 1 - (1 - confidence) ** (1 / count)
    return Interval(mean, mean - unseen, mean + unseen)


def rows_to_tell_apart(rows: int, interval: Interval, target: float) -> int | None:
    """Return about how many rows would separate the mean from the target, or None if they are equal: half-widths shrink
    with the square root of the number of rows.
    """
    distance = abs(interval.mean - target)
    half_width = max(interval.high - interval.mean, interval.mean - interval.low)
    if distance < 1e-9:
        return None
    return max(rows + 1, int(np.ceil(round(rows * (half_width / distance) ** 2, 6))))
