"""Intervals hold what they promise: coverage, clusters, and no certainty from rows that all say the same."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.intervals import Interval, mean_interval, paired_interval, rows_to_tell_apart


def test_a_95_percent_interval_covers_the_truth_about_95_times_in_100() -> None:
    random = np.random.default_rng(3)
    hits = 0
    for trial in range(200):
        interval = mean_interval(random.binomial(1, 0.7, size=80).astype(float), confidence=0.95, seed=trial)
        hits += interval.low <= 0.7 <= interval.high
    assert 180 <= hits <= 199


def test_rows_of_one_group_count_as_one_draw() -> None:
    scores = [1.0] * 10 + [0.0] * 10
    alone = mean_interval(scores, confidence=0.95, seed=1)
    grouped = mean_interval(scores, confidence=0.95, seed=1, clusters=["a"] * 10 + ["b"] * 10)
    assert grouped.high - grouped.low > 1.5 * (alone.high - alone.low)


def test_rows_that_all_say_the_same_leave_doubt() -> None:
    interval = mean_interval([1.0] * 20, confidence=0.95, seed=1)
    assert interval.high == 1.0
    assert interval.low == pytest.approx(0.05 ** (1 / 20))


def test_a_constant_shift_is_seen_pairwise_though_the_scores_vary() -> None:
    random = np.random.default_rng(5)
    before = random.uniform(0, 0.8, size=60)
    interval = paired_interval(before, before + 0.1 + random.normal(0, 0.01, 60), confidence=0.95, seed=1)
    assert 0.08 < interval.low < 0.1 < interval.high < 0.12


def test_the_same_seed_gives_the_same_interval() -> None:
    scores = np.random.default_rng(0).uniform(size=50)
    assert mean_interval(scores, confidence=0.9, seed=4) == mean_interval(scores, confidence=0.9, seed=4)


def test_rows_of_different_number_are_refused() -> None:
    with pytest.raises(ValueError, match="same rows"):
        paired_interval([1.0], [1.0, 0.0], confidence=0.95, seed=1)


def test_half_the_distance_needs_four_times_the_rows() -> None:
    assert rows_to_tell_apart(100, Interval(0.85, 0.75, 0.95), 0.9) == 400
    assert rows_to_tell_apart(100, Interval(0.9, 0.8, 1.0), 0.9) is None
