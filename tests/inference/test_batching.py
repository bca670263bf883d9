"""Which prompts are answered together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tasks.inference.batching import MOST_ROWS, batches, chunks, common_prefix

PROMPTS = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=8), min_size=1, max_size=6)


@given(PROMPTS)
def test_the_common_prefix_is_shared_by_all_and_is_the_longest_that_leaves_every_prompt_a_token(
    prompts: list[list[int]],
) -> None:
    shared = common_prefix(prompts)
    assert all(prompt[:shared] == prompts[0][:shared] for prompt in prompts)
    longer_is_shared = all(prompt[: shared + 1] == prompts[0][: shared + 1] for prompt in prompts)
    assert not longer_is_shared or min(map(len, prompts)) == shared + 1


@given(st.lists(st.integers(1, 50), min_size=1, max_size=300), st.integers(1, 20), st.integers(1, 2000))
def test_batches_hold_every_row_once_longest_first_within_the_budget(
    lengths: list[int], tokens: int, budget: int
) -> None:
    made = batches(lengths, tokens, 1, budget)
    rows = [row for batch in made for row in batch]
    assert sorted(rows) == list(range(len(lengths)))
    assert [lengths[row] for row in rows] == sorted(lengths, reverse=True)
    assert all(len(batch) <= MOST_ROWS for batch in made)
    assert all(len(batch) == 1 or len(batch) * (lengths[batch[0]] + tokens) <= budget for batch in made)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(1, 200))
def test_chunks_hold_a_batch_in_order_within_the_tokens(lengths: list[int], tokens: int) -> None:
    lengths.sort(reverse=True)
    made = chunks(lengths, tokens)
    assert [place for part in made for place in range(part.start, part.stop)] == list(range(len(lengths)))
    assert all(part.stop - part.start == 1 or (part.stop - part.start) * lengths[part.start] <= tokens for part in made)
