"""Token sequences with common beginnings laid out as one tree, so that a model computes every common beginning once.

The choices of a question are token lists that begin alike; few-shot questions share all their examples. Sorted,
such sequences form a tree; a model that sees the tree's tokens in one row, each attending only to the tokens above it
and at its own depth, answers for every sequence at once. Model: SGLang's RadixAttention (arXiv 2312.07104), here as a
mask over one forward pass instead of a cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Tree:
    """Sequences as one row of tokens.

    Attributes:
        tokens: ids of the nodes, shape (nodes,); a parent always stands before its children.
        depths: a node's place in its sequence, from 0, shape (nodes,).
        sees: sees[i, j] tells whether node i attends to node j (itself and all above it), shape (nodes, nodes).
        paths: (number of the sequence, its nodes in order).
    """

    tokens: NDArray[np.int64]
    depths: NDArray[np.int64]
    sees: NDArray[np.bool_]
    paths: tuple[tuple[int, NDArray[np.int64]], ...]


def plant_trees(sequences: Sequence[Sequence[int]], budget: int) -> Iterator[Tree]:
    """Yield trees that hold every sequence once, with at most `budget` nodes unless one sequence alone has more."""
    order = sorted(range(len(sequences)), key=lambda number: tuple(sequences[number]))
    waiting: list[int] = []
    nodes = 0
    for number in order:
        shared = _common(sequences[waiting[-1]], sequences[number]) if waiting else 0
        grown = len(sequences[number]) - shared
        if waiting and nodes + grown > budget:
            yield _planted(sequences, waiting)
            waiting, nodes, grown = [], 0, len(sequences[number])
        waiting.append(number)
        nodes += grown
    if waiting:
        yield _planted(sequences, waiting)


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    """Return how many leading tokens two sequences share."""
    count = 0
    for left, right in zip(first, second, strict=False):
        if left != right:
            break
        count += 1
    return count


def _planted(sequences: Sequence[Sequence[int]], numbers: list[int]) -> Tree:
    tokens: list[int] = []
    nodes: list[int] = []  # of the sequence at hand
    paths, shares = [], []
    before: Sequence[int] = ()
    for number in numbers:
        shared = _common(before, sequences[number])
        before = sequences[number]
        nodes = [*nodes[:shared], *range(len(tokens), len(tokens) + len(before) - shared)]
        tokens += before[shared:]
        paths.append((number, np.asarray(nodes, dtype=np.int64)))
        shares.append(shared)
    depths = np.zeros(len(tokens), dtype=np.int64)
    sees = np.zeros((len(tokens), len(tokens)), dtype=np.bool_)
    for (_, path), shared in zip(paths, shares, strict=True):
        own = path[shared:]
        depths[own] = np.arange(shared, len(path))
        sees[np.ix_(own, path)] = np.tri(len(own), len(path), shared, dtype=np.bool_)
    return Tree(np.asarray(tokens, dtype=np.int64), depths, sees, tuple(paths))
