"""Groups tied by near-duplicates: rows that nearly repeat each other belong to one group, whatever their groups are
called.

Rows are taken in the order of the source, and a decision is never taken back, so that rows appended later move no row
(with the first tasks.data.overlap.near_duplicates.BOILERPLATE rows there; fewer do not settle which rows are alike):

- A row whose group is new joins the group of the rows that it nearly repeats, and so gets their side. Where those are
  on both sides, joining either would leave a near twin on the other: the row itself has to leave (`bridges`).
- A row of a known group ties that group to those of the rows that it nearly repeats, as far as they are on its side. A
  twin on the other side cannot be tied without moving a side: the train rows among them have to leave
  (tasks/data/overlap/duplicates.py).

A tied group has the name and the side of the group that came first. Its chance of being held out is therefore that of
any other group; if one held-out row were enough, large groups would nearly all be held out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import polars as pl
from numpy.typing import NDArray

Positions = NDArray[np.int64]

STEP = 100_000  # pairs turned into Python numbers at once


class Forest:
    """Sets of numbers that can be united (union-find); the root of a set is its smallest number."""

    def __init__(self, size: int) -> None:
        self._parent = np.arange(size, dtype=np.int32).tolist()

    def root(self, number: int) -> int:
        """Return the smallest number of the set that this one is in."""
        parent = self._parent
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    def unite(self, one: int, other: int) -> None:
        """Make one set of two."""
        first, second = sorted((self.root(one), self.root(other)))
        self._parent[second] = first

    def roots(self) -> Positions:
        """Return the root of every number."""
        return np.fromiter(map(self.root, range(len(self._parent))), dtype=np.int64, count=len(self._parent))


@dataclass(frozen=True)
class Ties:
    """What near-duplicates mean for the groups.

    Attributes:
        leaders: for each row the position of the row whose group it now belongs to.
        bridges: positions of the rows that nearly repeat rows of both sides, so that they fit on neither.
    """

    leaders: Positions
    bridges: Positions


def untied(rows: int) -> Ties:
    """Return the ties where each row keeps its own group."""
    return Ties(np.arange(rows), np.empty(0, dtype=np.int64))


def tie(grouped: NDArray[np.uint64], is_held_out: NDArray[np.bool_], pairs: pl.DataFrame) -> Ties:
    """Tie the groups of rows that nearly repeat each other.

    Args:
        grouped: a fingerprint of each row's own group, in the order of the source.
        is_held_out: the side of each row's own group.
        pairs: positions (tasks.data.overlap.near_duplicates.near_pairs).
    """
    number, opening = _numbered(grouped, pairs)
    forest, held = Forest(opening.size), is_held_out[opening].tolist()
    bridges: set[int] = set()
    for row, twins in _arrivals(pairs):
        own = forest.root(int(number[row]))
        near = {forest.root(int(number[twin])) for twin in twins if twin not in bridges}
        if opening[number[row]] != row:
            near = {group for group in near if held[group] == held[own]}
        elif len({held[group] for group in near}) > 1:
            bridges.add(row)
            continue
        for group in near:
            forest.unite(own, group)
    leaders, known = np.arange(grouped.size), np.flatnonzero(number >= 0)
    leaders[known] = opening[forest.roots()[number[known]]]
    return Ties(leaders, np.array(sorted(bridges), dtype=np.int64))


def _numbered(grouped: NDArray[np.uint64], pairs: pl.DataFrame) -> tuple[NDArray[np.int32], Positions]:
    """Return the number of each row's group, -1 if none of the group's rows is in a pair, and the position of each
    group's first row; groups are numbered by these.
    """
    places = np.union1d(pairs["first"].to_numpy(), pairs["second"].to_numpy())
    involved = np.unique(grouped[places])
    number = np.full(grouped.size, -1, dtype=np.int32)
    members = np.flatnonzero(np.isin(grouped, involved))
    known = np.searchsorted(involved, grouped[members])
    _, first = np.unique(known, return_index=True)
    number[members] = np.argsort(np.argsort(first))[known]
    return number, np.sort(members[first])


def _arrivals(pairs: pl.DataFrame) -> Iterator[tuple[int, list[int]]]:
    """Yield each row that nearly repeats earlier ones, in the order of the source, with their positions."""
    ordered = pairs.select("second", "first").sort("second", "first")
    numbers = (pair for some in ordered.iter_slices(STEP) for pair in some.iter_rows())
    for row, twins in groupby(numbers, key=lambda pair: pair[0]):
        yield row, [twin for _, twin in twins]


def clustered(one: Positions, other: Positions) -> pl.DataFrame:
    """Return each number in a pair (`row_id`) with the smallest one that it is linked to, directly or through others
    (`cluster`), in ascending order.

    Args:
        one: the first number of each pair.
        other: the second one.
    """
    numbers = np.union1d(one, other)
    forest = Forest(numbers.size)
    for pair in zip(np.searchsorted(numbers, one).tolist(), np.searchsorted(numbers, other).tolist(), strict=True):
        forest.unite(*pair)
    return pl.DataFrame({"row_id": numbers, "cluster": numbers[forest.roots()]})
