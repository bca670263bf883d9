"""No token is lost, cut or seen twice, whatever the rows."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tasks.training.rows import TokenRow, common_prefix, split_validation
from tasks.training.step.pack_layout import lay_out
from tasks.training.step.packing import fit_best, pack_rows, plan_steps
from tests.training.examples import token_rows

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=60)


@given(LENGTHS, st.integers(1, 80))
def test_every_item_stands_in_exactly_one_pack_and_packs_hold_no_more_than_they_can(
    lengths: list[int], capacity: int
) -> None:
    packs = fit_best(lengths, capacity)
    assert sorted(item for pack in packs for item in pack) == list(range(len(lengths)))
    for pack in packs:
        assert len(pack) == 1 or sum(lengths[item] for item in pack) <= capacity


@given(LENGTHS, st.integers(60, 200))
def test_best_fit_leaves_no_two_packs_that_would_fit_into_one(lengths: list[int], capacity: int) -> None:
    sums = sorted(sum(lengths[item] for item in pack) for pack in fit_best(lengths, capacity))
    assert len(sums) == 1 or sums[0] + sums[1] > capacity


@given(st.integers(1, 40), st.integers(0, 6), st.integers(1, 400), st.integers(0, 100))
def test_no_token_is_lost_by_packing(count: int, prefix: int, capacity: int, seed: int) -> None:
    rows = token_rows(count, seed)
    seen = []
    for pack in pack_rows(rows, prefix, capacity):
        ids, positions = pack.input_ids[0].tolist(), pack.position_ids[0].tolist()
        starts = [place for place, position in enumerate(positions) if position == prefix and place >= prefix]
        assert positions[:prefix] == list(range(prefix))
        for start, end in zip(starts, [*starts[1:], len(ids)], strict=True):
            assert positions[start:end] == list(range(prefix, prefix + end - start))
            labels = [
                label
                for place, label in zip(pack.answer_positions.tolist(), pack.labels.tolist(), strict=True)
                if start <= place < end
            ]
            seen.append((ids[:prefix] + ids[start:end], labels))
    assert sorted(seen) == sorted(((row.prompt_ids + row.answer_ids)[:-1], row.answer_ids) for row in rows)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=60).map(sorted), st.integers(0, 9))
def test_buckets_cover_each_token_of_a_pack_once(lengths: list[int], prefix: int) -> None:
    layout = lay_out(prefix, lengths)
    covered = [place for bucket in layout.buckets for place in range(bucket.own.start, bucket.own.stop)]
    assert covered == list(range(prefix + sum(lengths)))
    for bucket in layout.buckets:
        assert bucket.padded[bucket.real].tolist() == list(range(len(bucket.real)))


@given(LENGTHS, st.integers(16, 200), st.sampled_from([0.3, 1, 2, 2.5]), st.integers(0, 9))
def test_each_epoch_sees_every_row_once_in_an_order_of_its_own(
    lengths: list[int], tokens_per_step: int, epochs: float, seed: int
) -> None:
    steps = plan_steps(lengths, tokens_per_step, epochs, seed)
    assert steps == plan_steps(lengths, tokens_per_step, epochs, seed)
    assert [step.is_epoch_end for step in steps] == [after.epoch > step.epoch for step, after in pairwise(steps)] + [
        True
    ]
    assert steps[-1].done >= epochs
    for epoch in range(int(epochs)):
        assert sorted(row for step in steps if step.epoch == epoch for row in step.rows) == list(range(len(lengths)))
    for step in steps:
        assert len(step.rows) == 1 or sum(lengths[row] for row in step.rows) <= tokens_per_step


def test_validation_takes_whole_groups_and_leaves_some() -> None:
    rows = [TokenRow(number, f"g{number % 7}", [1], [2]) for number in range(70)]
    learned, held_out = split_validation(rows, 0.3, 1)
    assert len({row.group for row in held_out}) == 2 and len(held_out) == 20 and len(learned) == 50
    assert not {row.group for row in learned} & {row.group for row in held_out}
    assert split_validation(rows[:1], 0.3, 1) == (rows[:1], [])
    assert split_validation(rows, 0, 1) == (rows, [])


def test_the_shared_prefix_leaves_each_row_a_token_of_its_prompt() -> None:
    row = TokenRow(1, "g", [5, 6, 7], [2])
    assert common_prefix([row, row]) == 2
    assert common_prefix([row, TokenRow(2, "g", [5, 9], [2])]) == 1
    assert common_prefix([row, TokenRow(2, "g", [9], [2])]) == 0
