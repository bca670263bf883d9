"""Held-out answers that no arm may write out are refused above a share, counted, and said below it."""

from __future__ import annotations

import polars as pl

from tasks.data.checking.row_limits import Limits, cut_off
from tests.data.conftest import Listener

# The stop token is counted and need not be written: these need 4, 9 and 20 tokens; a train row may need any number.
LENGTHS = pl.DataFrame({"side": ["train", *["held_out"] * 3], "row_id": [1, 2, 3, 4], "answer_tokens": [99, 5, 10, 21]})


def told(most: int | None, share: float) -> tuple[list[str], list[str]]:
    """Return the problems, and what was said."""
    listener = Listener()
    return cut_off(LENGTHS, Limits(2048, 1024, most, share), listener), listener.lines


def test_answers_that_fit_to_the_token_are_no_problem() -> None:
    assert told(20, 0.0) == ([], [])
    assert told(None, 0.0) == ([], [])


def test_more_of_them_than_allowed_are_refused_by_number_with_both_ways_out() -> None:
    (problem,), said = told(9, 0.3)
    assert said == []
    assert problem == (
        "1 of 3 held-out answers (row 4) need up to 20 tokens, and arms.max_new_tokens is 9, so that no arm can give "
        "them: set arms.max_new_tokens to 20, or raise arms.longer_answers (0.3)."
    )


def test_as_many_as_allowed_are_only_said() -> None:
    problems, (said,) = told(9, 0.34)
    assert problems == []
    assert said.startswith("rendering: 1 of 3 held-out answers (row 4) need up to 20 tokens")
