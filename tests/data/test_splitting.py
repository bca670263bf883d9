"""A group has one side, given by the seed and its name alone."""

from __future__ import annotations

import math

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.data.reporting.balance import SEEDS, evener_seed
from tasks.data.splitting import held_out_of, is_held_out, own_group

GROUPS = st.lists(st.text(max_size=5), max_size=40)


def sides(groups: list[str], seed: int, share: float) -> pl.DataFrame:
    """Return each row's group and side."""
    named = pl.Series("group", groups, dtype=pl.String)
    return pl.DataFrame([named, held_out_of(named, seed, share)])


@settings(deadline=None)
@given(GROUPS, GROUPS, st.integers(0, 2**31 - 1), st.floats(0.05, 0.95))
def test_no_row_moves_when_others_come(first: list[str], more: list[str], seed: int, share: float) -> None:
    before, after = sides(first, seed, share), sides([*more, *first, *more], seed, share)
    assert after[len(more) : len(more) + len(first)].equals(before)
    for group in after.partition_by("group"):
        assert group["is_held_out"].n_unique() == 1


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_the_share_held_out_is_close_to_the_one_asked_for(share: float) -> None:
    held = sum(is_held_out(f"group {n}", 7, share) for n in range(20_000))
    assert held / 20_000 == pytest.approx(share, abs=0.01)


def test_another_seed_draws_another_side() -> None:
    drawn = [[is_held_out(f"group {n}", seed, 0.5) for n in range(1000)] for seed in (1, 2)]
    assert 400 < sum(one != other for one, other in zip(*drawn, strict=True)) < 600


def test_a_larger_share_only_adds_to_what_is_held_out() -> None:
    groups = [f"group {n}" for n in range(1000)]
    assert all(is_held_out(group, 7, 0.4) for group in groups if is_held_out(group, 7, 0.2))


LABELLED = st.lists(st.tuples(st.text(max_size=4), st.sampled_from("abc")), min_size=1, max_size=30)


@pytest.mark.slow
@settings(deadline=None)
@given(LABELLED, LABELLED, st.data())
def test_neither_labels_nor_order_nor_neighbours_have_a_say(
    first: list[tuple[str, str]], more: list[tuple[str, str]], data: st.DataObject
) -> None:
    before = dict(sides([group for group, _ in first], 7, 0.3).iter_rows())
    after = dict(sides([group for group, _ in data.draw(st.permutations([*first, *more]))], 7, 0.3).iter_rows())
    assert before.items() <= after.items()


@pytest.mark.parametrize("seed", [1, 7, 42])
def test_each_labels_share_keeps_to_the_bound_that_is_told(seed: int) -> None:
    """Of 200 labels with 100 groups each, 5 % may be farther off than sqrt(ln(2 / 0.05) / 200)."""
    bound = math.sqrt(math.log(2 / 0.05) / 200)
    shares = [
        sum(is_held_out(f"label {label}, group {n}", seed, 0.2) for n in range(100)) / 100 for label in range(200)
    ]
    assert sum(abs(share - 0.2) > bound for share in shares) <= 0.05 * 200
    assert sum(shares) / 200 == pytest.approx(0.2, abs=0.01)


def test_the_evener_seed_splits_as_told_and_no_other_that_was_tried_leaves_fewer_labels_alone() -> None:
    rows = pl.DataFrame([{"group": f"g{n}", "label": "abcde"[n % 5], "rows": 1 + n % 3} for n in range(40)])

    def alone(seed: int) -> int:
        held = (
            rows.with_columns(held_out_of(rows["group"], seed, 0.2))
            .group_by("label")
            .agg(pl.col("is_held_out").any(), whole=pl.col("is_held_out").all())
        )
        return held.filter(~pl.col("is_held_out") | pl.col("whole")).height

    found = evener_seed(rows, 0.2)
    assert found is not None
    assert found["one_sided"] == alone(found["seed"]) == min(alone(seed) for seed in range(SEEDS))


def test_with_too_many_groups_no_seed_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.data.reporting.balance.TRIED", 3)
    assert evener_seed(pl.DataFrame([{"group": f"g{n}", "label": "a", "rows": 1} for n in range(4)]), 0.2) is None


def test_equal_requests_have_one_group() -> None:
    assert own_group(pl.Series(["a", "b", "a"])).n_unique() == 2
