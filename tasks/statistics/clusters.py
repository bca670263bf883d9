"""Evidence on a mean when rows come in groups: a one-sided p-value against a bound, and the bounds that it leads to.

Rows of one group rise and fall together, so a group counts once. Under "the mean is t" every group's sum of (row - t)
is zero on average, whatever its size, and one unseen group may be as bad as scores allow. Giving each sum, and that
unseen group, an exponential weight and asking how often the weighted total is at most zero is the Clopper-Pearson test
for right and wrong (exactly, where rows are groups), and its generalisation for graded scores: Gaffke 2005; Learned-
Miller and Thomas 2020, arXiv 1905.06208. The spread is taken around t and not around the observed mean, so a group
that is most of the rows cannot hide its own error. Where few groups lie evenly around t, the standardised total,
corrected for skewness (Hall 1992, JRSS B 54:221), is the more cautious of the two, and the larger p-value counts.
Why, and what else was tried: docs/decisions/0008-intervals.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from tasks.statistics.tail import Floats, chance_at_or_below_zero

FEWEST_GROUPS = 8  # below it, nothing is claimed at a confidence: what a handful of groups share cannot be seen
STEPS = 60
CLOSE = 1e-8  # of a bound, and of a normal quantile
FAR = 37.0  # normal quantiles beyond it are 0 and 1 to the last bit
ROUNDING = 1e-9
TINY = 1e-100  # in place of a zero that would divide
CALM = 15.0  # groups at which half of the skewness that is seen is believed


@dataclass(frozen=True)
class Clusters:
    """Sums over groups of rows, for one sample or for many at once.

    Shapes: sums and squares (runs, kinds) hold each group's sum of rows and of squared rows; sizes (kinds,) its rows;
    counts (kinds,) how many groups are like it. Every row lies in floor..ceiling.
    """

    sums: Floats
    squares: Floats
    sizes: Floats
    counts: Floats
    floor: float
    ceiling: float

    @cached_property
    def groups(self) -> int:
        """Number of groups."""
        return int(self.counts.sum())

    @cached_property
    def rows(self) -> float:
        """Number of rows."""
        return float(self.sizes @ self.counts)

    @cached_property
    def means(self) -> Floats:
        """The mean over rows, shape (runs,)."""
        return np.clip((self.sums @ self.counts) / self.rows, self.floor, self.ceiling)

    @cached_property
    def usual_size(self) -> float:
        """Rows in the group of a row that is drawn blindly: large groups count as often as they have rows."""
        return float((self.sizes**2 @ self.counts) / self.rows)

    def only(self, runs: NDArray[np.intp]) -> Clusters:
        """Return some of the samples."""
        return replace(self, sums=self.sums[runs], squares=self.squares[runs])

    @cached_property
    def mirrored(self) -> Clusters:
        """The same rows with the sign turned."""
        return replace(self, sums=-self.sums, floor=-self.ceiling, ceiling=-self.floor)

    def unseen_size(self, totals: Floats, bound: Floats) -> Floats:
        """Return how many rows the unseen group counts for, shape (runs,): one where rows of a group are strangers, a
        whole group where they are alike.

        The correlation inside groups comes from the rows. Its root is taken, because few groups tell it badly and
        too low a value is the dear mistake.
        """
        column = bound[:, None]
        squares = np.maximum(self.squares - 2.0 * column * self.sums + self.sizes * column**2, 0.0)
        is_shared = self.sizes > 1
        if not is_shared.any():
            return np.ones(len(totals))
        counts = self.counts[is_shared]
        alike = ((totals**2 - squares)[:, is_shared] / (self.sizes[is_shared] - 1.0)) @ counts
        alone = squares[:, is_shared] @ counts
        correlation = np.clip(alike / np.maximum(alone, TINY), 0.0, 1.0)
        return np.where(alone > 0.0, 1.0 + (self.usual_size - 1.0) * np.sqrt(correlation), self.usual_size)


def gathered(values: Floats, clusters: Sequence[str] | None, *, floor: float, ceiling: float) -> Clusters:
    """Sum rows over their groups.

    Args:
        values: shape (runs, rows); one sample a run, all in the same groups.
        clusters: the group of each row; without it every row is its own.
        floor: the smallest value that a row can have.
        ceiling: the largest.

    Raises:
        ValueError: there are no rows, or one lies outside floor..ceiling by more than rounding.
    """
    if values.size == 0:
        raise ValueError("an interval needs at least one row")
    if not floor - ROUNDING <= values.min() <= values.max() <= ceiling + ROUNDING:
        raise ValueError(f"rows must lie in {floor:g}..{ceiling:g}, not {values.min():g}..{values.max():g}")
    sums, squares, sizes = _summed(values, clusters)
    counts = np.ones(len(sizes))
    if len(values) == 1:
        kinds, repeats = np.unique(np.column_stack((sums[0], squares[0], sizes)), axis=0, return_counts=True)
        sums, squares, sizes, counts = kinds[None, :, 0], kinds[None, :, 1], kinds[:, 2], repeats.astype(np.float64)
    return Clusters(sums, squares, sizes, counts, floor, ceiling)


def _summed(values: Floats, clusters: Sequence[str] | None) -> tuple[Floats, Floats, Floats]:
    if clusters is None:
        return values, values**2, np.ones(values.shape[1])
    _, index, sizes = np.unique(np.asarray(clusters, dtype=str), return_inverse=True, return_counts=True)
    ordered, starts = values[:, np.argsort(index, kind="stable")], np.cumsum(sizes) - sizes
    sums, squares = (np.add.reduceat(rows, starts, axis=1) for rows in (ordered, ordered**2))
    return sums, squares, sizes.astype(np.float64)


def chance_not_above(sample: Clusters, bound: float | Floats) -> Floats:
    """Return the one-sided p-value of "the mean is at most the bound", one a run: small where it is safely above."""
    bounds = np.broadcast_to(np.asarray(bound, dtype=np.float64), sample.means.shape)
    totals = sample.sums - sample.sizes * bounds[:, None]
    unseen = (sample.floor - bounds) * sample.unseen_size(totals, bounds)
    terms, counts = np.column_stack((totals, unseen)), np.append(sample.counts, 1.0)
    return np.maximum(chance_at_or_below_zero(terms, counts), _skewed_student(sample, totals))


def plain_chance(sample: Clusters, bound: float) -> Floats:
    """Return the p-value of "the mean is at most the bound" by the total over its spread around the bound, one a run.

    No claim stands on it, as it reckons with no unseen group: it tells where a difference may hide.
    """
    return np.asarray(ndtr(-_score(sample, sample.sums - sample.sizes * bound)), dtype=np.float64)


def _score(sample: Clusters, totals: Floats) -> Floats:
    spread = (totals**2) @ sample.counts
    return np.asarray((totals @ sample.counts) / np.sqrt(np.maximum(spread, TINY)), dtype=np.float64)


def bounds_of(sample: Clusters, confidence: float) -> tuple[Floats, Floats]:
    """Return the ends (runs,) that hold the mean: what neither one-sided test rejects at half of what is left."""
    low = low_end(sample, (1.0 - confidence) / 2.0)
    return low, -low_end(sample.mirrored, (1.0 - confidence) / 2.0)


def low_end(sample: Clusters, level: float) -> Floats:
    """Return the largest bound that the mean is above at this level.

    P-values grow with the bound. On the scale of normal quantiles they do so nearly in a straight line, so a secant
    finds the place in a few steps; a step that leaves the bracket halves it instead.
    """
    goal = float(ndtri(level))
    low, high = np.full(sample.means.shape, sample.floor), sample.means.copy()
    older, gap = high.copy(), np.full(high.shape, -goal)
    point = np.maximum(low, high + goal * spread_around_the_mean(sample))
    left = np.arange(len(point))
    for _ in range(STEPS):
        at, before = point[left], older[left]
        found = np.clip(ndtri(chance_not_above(sample.only(left), at)), -FAR, FAR) - goal
        low[left], high[left] = np.where(found <= 0.0, at, low[left]), np.where(found > 0.0, at, high[left])
        slope = (found - gap[left]) / np.where(at == before, np.inf, at - before)
        step = at - found / np.where(slope > 0.0, slope, np.inf)
        is_found = np.abs(found) <= CLOSE
        low[left] = np.where(is_found, at, low[left])
        is_inside = (step > low[left]) & (step < high[left])
        older[left], gap[left] = at, found
        point[left] = np.where(is_inside, step, (low[left] + high[left]) / 2.0)
        left = left[~is_found & (high[left] - low[left] > CLOSE)]
        if not left.size:
            break
    return low


def spread_around_the_mean(sample: Clusters) -> Floats:
    """Return the standard error of the mean over groups, one a run, before any correction for their number."""
    residuals = sample.sums - sample.sizes * sample.means[:, None]
    return np.sqrt((residuals**2) @ sample.counts) / sample.rows


def _skewed_student(sample: Clusters, totals: Floats) -> Floats:
    """Return the p-value of the standardised total, with Hall's correction where skewness speaks for the claim.

    Skewness that speaks against it is in the exponentials already.
    """
    score = _score(sample, totals)
    residuals = sample.sums - sample.sizes * sample.means[:, None]
    own = np.maximum((residuals**2) @ sample.counts, TINY)
    effective = sample.rows / sample.usual_size
    seen = (residuals * residuals * residuals) @ sample.counts / (own * np.sqrt(own))
    skewness = np.maximum(seen, 0.0) * effective / (effective + CALM)
    corrected = score + skewness * score**2 / 3.0 + skewness**2 * score**3 / 27.0 + skewness / 6.0
    return np.asarray(ndtr(-corrected), dtype=np.float64)
