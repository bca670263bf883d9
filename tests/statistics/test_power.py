"""Recommended groups show the distance in about 8 of 10 cases, and the smallest distance is its inverse."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tasks.statistics.clusters import FEWEST_GROUPS, bounds_of, chance_not_above, gathered
from tasks.statistics.power import (
    groups_needed,
    groups_to_tell_apart,
    smallest_difference,
    spread_of_interval,
    worst_spread,
)


def steps(groups: int, runs: int, seed: int) -> np.ndarray:
    """Return paired differences of groups of six rows with a mean of 0.1, shape (runs, rows)."""
    random = np.random.default_rng(seed)
    leaning = np.repeat(random.beta(4, 2, (runs, groups)), 6, axis=1)
    moved = random.random(leaning.shape) < 0.3
    return np.where(moved, np.where(random.random(leaning.shape) < leaning, 1.0, -1.0), 0.0)


def names(groups: int) -> list[str]:
    return [f"{place}" for place in np.arange(groups).repeat(6)]


def test_the_recommended_groups_show_the_distance_in_eight_of_ten_cases() -> None:
    pilot = gathered(steps(400, 10, 1), names(400), floor=-1.0, ceiling=1.0)
    low, high = bounds_of(pilot, 0.95)
    groups = groups_needed(0.1 - 0.04, spread_of_interval(float((high - low).mean()) / 2, 400, 0.95), 0.95)
    assert groups is not None and groups > FEWEST_GROUPS
    later = gathered(steps(groups, 1500, 2), names(groups), floor=-1.0, ceiling=1.0)
    assert 0.78 <= (chance_not_above(later, 0.04) <= 0.025).mean() <= 0.90


@pytest.mark.parametrize("distance", [0.03, 0.1, 0.3])
def test_groups_and_distance_are_each_others_inverse(distance: float) -> None:
    spread = worst_spread(6, correlation=0.3)
    groups = groups_needed(distance, spread, 0.95)
    assert groups is not None
    assert smallest_difference(groups, spread, 0.95) <= distance < smallest_difference(groups - 1, spread, 0.95)


def test_more_claims_less_distance_and_more_doubt_need_more_groups() -> None:
    spread = worst_spread(4)
    needed = groups_needed(0.1, spread, 0.95)
    assert needed is not None
    for harder in ((0.1, spread, 0.95, 3), (0.05, spread, 0.95), (0.1, spread, 0.99), (0.1, worst_spread(1), 0.999)):
        more = groups_needed(*harder)
        assert more is not None and more > needed


def test_nothing_is_never_told_from_nothing_and_seven_groups_tell_nothing() -> None:
    assert groups_needed(0.0, worst_spread(1), 0.95) is None
    assert groups_to_tell_apart(0.8, 0.7, 0.9, 20, 0.8, 0.95) is None
    assert math.isinf(smallest_difference(FEWEST_GROUPS - 1, worst_spread(1), 0.95))


def test_half_the_distance_needs_four_times_the_groups() -> None:
    near = groups_to_tell_apart(0.85, 0.75, 0.95, 100, 0.9, 0.95)
    nearer = groups_to_tell_apart(0.875, 0.775, 0.975, 100, 0.9, 0.95)
    assert near is not None and nearer is not None
    assert nearer / near == pytest.approx(4, rel=0.02)
    assert 850 <= near <= 950  # of 100 groups: twice the width is four times, and 8 of 10 instead of 5 another 2.2
