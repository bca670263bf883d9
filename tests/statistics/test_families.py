"""Several claims at once: Holm's correction, and the exact check of helped against hurt rows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, permutation_test

from tasks.statistics.families import changes_of, holm


def test_holm_gives_the_textbook_values_in_the_order_of_the_claims() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.02]) == (0.02,)
    assert holm([]) == ()


def test_no_corrected_value_is_below_its_own_or_above_one() -> None:
    chances = np.random.default_rng(0).uniform(size=12).tolist()
    corrected = holm(chances)
    assert all(own <= after <= 1.0 for own, after in zip(chances, corrected, strict=True))
    assert np.argsort(corrected, kind="stable")[0] == np.argmin(chances)


def test_ungrouped_changes_have_the_sign_tests_p_value() -> None:
    found = changes_of([0.0] * 10 + [1.0] * 3 + [1.0] * 20, [1.0] * 10 + [0.0] * 3 + [1.0] * 20)
    assert (found.helped, found.hurt, found.groups) == (10, 3, 13)
    assert found.p == pytest.approx(binomtest(10, 13).pvalue)


def test_grouped_changes_flip_whole_groups() -> None:
    steps = np.array([1, 1, 1, 0, 1, 1, -1, 0, 1, 0, -1, -1], dtype=float)
    clusters = ["a", "a", "a", "b", "b", "b", "c", "c", "d", "d", "e", "e"]
    totals = np.array([3.0, 2.0, -1.0, 1.0, -2.0])
    by_hand = permutation_test((totals,), np.sum, permutation_type="samples", n_resamples=np.inf)
    found = changes_of(np.zeros(12), steps, clusters)
    assert (found.helped, found.hurt, found.p) == (6, 3, pytest.approx(by_hand.pvalue))


def test_graded_scores_that_differ_by_rounding_did_not_change() -> None:
    found = changes_of([0.6 - 0.4, 0.5], [0.5 - 0.3, 0.5])
    assert (found.helped, found.hurt, found.p) == (0, 0, 1.0)


def test_a_million_changes_are_counted_without_the_exact_check() -> None:
    found = changes_of(np.zeros(2000), np.ones(2000))
    assert (found.helped, found.p) == (2000, None)
