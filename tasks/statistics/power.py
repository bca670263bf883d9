"""How many groups it takes to see a difference in 8 of 10 cases, and what difference so many groups can show.

A difference is seen when the interval's end passes it. On average that end lies the critical value of Student's t times
the standard error from the mean, and the one unseen group that is reckoned with moves it further
(tasks/statistics/clusters.py); the second quantile makes it 8 of 10 instead of 5 of 10.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.special import stdtrit

from tasks.statistics.clusters import FEWEST_GROUPS

POWER = 0.83  # promised is 0.8; the spread is an estimate itself
MOST_GROUPS = 1 << 40


@dataclass(frozen=True)
class Spread:
    """What one more group adds to a mean: all in units of the score.

    per_group: the standard error of the mean times the root of the groups.
    unseen: how far one unseen group at the worst score would move the mean, times the groups.
    rows_per_group: mean rows in a group.
    """

    per_group: float
    unseen: float
    rows_per_group: float


def worst_spread(rows_per_group: float, *, row_spread: float = 0.5, correlation: float = 1.0) -> Spread:
    """Return the spread to reckon with before anything was measured.

    Args:
        rows_per_group: mean rows in a group.
        row_spread: standard deviation of one row. 0.5 is the most that a score in 0..1 can have, and that of a
            paired difference when a quarter of right and wrong answers change.
        correlation: of rows in a group, 0..1; 1 makes a group count as one row.
    """
    grown = 1.0 + (rows_per_group - 1.0) * correlation
    unseen = (1.0 + (rows_per_group - 1.0) * math.sqrt(correlation)) / rows_per_group
    return Spread(row_spread * math.sqrt(grown / rows_per_group), unseen, rows_per_group)


def smallest_difference(groups: int, spread: Spread, confidence: float, claims: int = 1) -> float:
    """Return the smallest distance from a bound that so many groups show in 8 of 10 cases.

    Args:
        groups: that will be measured.
        spread: what one group adds.
        confidence: such as 0.95.
        claims: how many claims Holm's correction stands over: untrained arms, tuned arms or tasks.
    """
    if groups < FEWEST_GROUPS:
        return math.inf
    level = (1.0 - confidence) / 2.0 / claims
    error, unseen = spread.per_group / math.sqrt(groups), spread.unseen / groups
    critical, further = (float(stdtrit(groups - 1, chance)) for chance in (1.0 - level, POWER))
    return critical * math.hypot(error, unseen) + further * error + unseen


def groups_needed(distance: float, spread: Spread, confidence: float, claims: int = 1) -> int | None:
    """Return the fewest groups that show this distance from a bound in 8 of 10 cases; None where it is nothing."""
    if not distance > 0.0 or smallest_difference(MOST_GROUPS, spread, confidence, claims) > distance:
        return None
    low, high = FEWEST_GROUPS - 1, MOST_GROUPS
    while high - low > 1:
        middle = (low + high) // 2
        is_enough = smallest_difference(middle, spread, confidence, claims) <= distance
        low, high = (low, middle) if is_enough else (middle, high)
    return high


def groups_to_tell_apart(
    mean: float, low: float, high: float, groups: int, bound: float, confidence: float
) -> int | None:
    """Return the groups at which a mean that stays as it is would be told from the bound in 8 of 10 cases.

    The spread is read off an interval's half that faces the bound; None where mean and bound are equal.
    """
    half = mean - low if bound < mean else high - mean
    needed = groups_needed(abs(mean - bound), spread_of_interval(half, groups, confidence), confidence)
    return None if needed is None else max(needed, groups + 1)


def spread_of_interval(half: float, groups: int, confidence: float) -> Spread:
    """Return the spread that an interval with this half-width, over so many groups, stands for."""
    critical = float(stdtrit(max(groups - 1, 1), (1.0 + confidence) / 2.0))
    return Spread(half / critical * math.sqrt(groups), 0.0, 1.0)
