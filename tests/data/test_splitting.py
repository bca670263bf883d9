"""A group has one side, given by the seed and its name alone."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.data.splitting import held_out_of, is_held_out, own_group

GROUPS = st.lists(st.text(max_size=5), max_size=40)


def sides(groups: list[str], seed: int, share: float) -> pl.DataFrame:
    """Return each row's group and side."""
    named = pl.Series("group", groups, dtype=pl.String)
    return pl.DataFrame([named, held_out_of(named, seed, share)])


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


def test_equal_requests_have_one_group() -> None:
    assert own_group(pl.Series(["a", "b", "a"])).n_unique() == 2
