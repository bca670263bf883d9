"""Confidence intervals and one-sided tests of mean scores and of paired differences, over groups of rows.

Closed form: the same rows give the same numbers, without a seed. An interval's low end lies at or above a bound exactly
when the claim "above the bound" has a p-value of at most (1 - confidence) / 2. The formula and its reasons:
tasks/statistics/clusters.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.statistics.clusters import FEWEST_GROUPS, Clusters, bounds_of, chance_not_above, gathered
from tasks.statistics.tail import Floats

Rows = Sequence[float] | Floats
PLACES = 129  # between a bound and the mean


@dataclass(frozen=True)
class Interval:
    """A mean, the bounds that hold it with the confidence asked for, and the groups that it rests on."""

    mean: float
    low: float
    high: float
    groups: int

    @property
    def is_conclusive(self) -> bool:
        """Whether there are groups enough to claim anything at a confidence."""
        return self.groups >= FEWEST_GROUPS

    def is_above(self, bound: float) -> bool:
        """Tell whether the mean is at least the bound, at the interval's confidence."""
        return self.is_conclusive and self.low >= bound

    def is_below(self, bound: float) -> bool:
        """Tell whether the mean is below the bound, at the interval's confidence."""
        return self.is_conclusive and self.high < bound


def scores_of(values: Rows, clusters: Sequence[str] | None = None) -> Clusters:
    """Return scores in 0..1 as a sample to ask.

    Args:
        values: one score a row, shape (rows,).
        clusters: the group of each row; without it every row is its own.

    Raises:
        ValueError: there are no values, or one lies outside 0..1.
    """
    return gathered(np.asarray(values, dtype=np.float64)[None, :], clusters, floor=0.0, ceiling=1.0)


def differences_of(before: Rows, after: Rows, clusters: Sequence[str] | None = None, *, limit: float = 1.0) -> Clusters:
    """Return (after - before), row by row on the same rows, as a sample to ask.

    Args:
        before: one score a row, shape (rows,).
        after: of the same rows, in the same order.
        clusters: the group of each row; without it every row is its own.
        limit: the largest difference that a row can have, either way; 1 for scores in 0..1.

    Raises:
        ValueError: the two do not have the same length, are empty, or differ by more than the limit.
    """
    first, second = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(f"a paired difference needs the same rows on both sides, not {first.size} and {second.size}")
    return gathered((second - first)[None, :], clusters, floor=-limit, ceiling=limit)


def interval_of(sample: Clusters, confidence: float) -> Interval:
    """Return the sample's mean with its two-sided interval."""
    low, high = bounds_of(sample, confidence)
    return Interval(float(sample.means[0]), float(low[0]), float(high[0]), sample.groups)


def p_above(sample: Clusters, bound: float) -> float:
    """Return the one-sided p-value of the claim that the mean is above the bound; 1 where groups are too few."""
    return _envelope(sample, bound) if sample.groups >= FEWEST_GROUPS else 1.0


def p_below(sample: Clusters, bound: float) -> float:
    """Return the one-sided p-value of the claim that the mean is below the bound; 1 where groups are too few."""
    return _envelope(sample.mirrored, -bound) if sample.groups >= FEWEST_GROUPS else 1.0


def _envelope(sample: Clusters, bound: float) -> float:
    """Return the smallest p-value of the bounds between this one and the mean.

    A mean that is above a bound is above every lower one. The p-value of a single bound need not fall with it: far
    from the mean all groups seem alike, and the one unseen group that is reckoned with grows
    (tasks/statistics/clusters.py). The interval's end is the nearest place at which the test does not reject, so this
    is what agrees with it.
    """
    mean = float(sample.means[0])
    bounds = np.linspace(bound, mean, PLACES) if bound < mean else np.array([bound])
    return float(chance_not_above(sample.only(np.zeros(bounds.size, dtype=np.intp)), bounds).min())


def mean_interval(values: Rows, *, confidence: float, clusters: Sequence[str] | None = None) -> Interval:
    """Return the mean of scores in 0..1 with its interval; arguments and errors as in scores_of."""
    return interval_of(scores_of(values, clusters), confidence)


def paired_interval(before: Rows, after: Rows, *, confidence: float, clusters: Sequence[str] | None = None) -> Interval:
    """Return the mean of (after - before) with its interval; arguments and errors as in differences_of."""
    return interval_of(differences_of(before, after, clusters), confidence)
