"""A pack holds what fits and what pays, and never less than one row."""

from __future__ import annotations

import pytest

from tasks.training.memory import pack_capacity


@pytest.mark.parametrize(
    ("device", "room", "longest", "step", "capacity"),
    [
        ("cpu", 10**9, 100, 5000, 800),  # more would not be faster
        ("cpu", 10**9, 100, 300, 300),  # no step is longer
        ("cpu", 10**9, 3000, 5000, 3000),  # a row is never cut
        ("cpu", 200_000, 100, 5000, 200),  # no more fits
        ("cpu", 0, 100, 5000, 100),  # one row is tried all the same
        ("cuda", 10**9, 100, 5000, 5000),
    ],
)
def test_the_tightest_limit_sets_the_size_of_a_pack(device: str, room: int, longest: int, step: int, capacity: int) -> None:
    assert pack_capacity(device, 1000, room, longest, [10, step]) == capacity
