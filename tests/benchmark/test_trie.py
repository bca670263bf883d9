import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tasks.benchmark.trie import plant_trees

SEQUENCES = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=8), min_size=1, max_size=12)


@given(SEQUENCES, st.integers(1, 20))
def test_every_sequence_is_read_back_from_exactly_one_tree(sequences: list[list[int]], budget: int) -> None:
    found = [
        (number, tree.tokens[path].tolist()) for tree in plant_trees(sequences, budget) for number, path in tree.paths
    ]
    assert sorted(found) == list(enumerate(sequences))


@given(SEQUENCES, st.integers(1, 20))
def test_a_node_sees_itself_and_what_stands_above_it_and_nothing_else(sequences: list[list[int]], budget: int) -> None:
    for tree in plant_trees(sequences, budget):
        for _, path in tree.paths:
            for depth, node in enumerate(path):
                assert tree.depths[node] == depth
                assert np.flatnonzero(tree.sees[node]).tolist() == sorted(path[: depth + 1].tolist())


@given(SEQUENCES)
def test_a_common_beginning_is_one_run_of_nodes(sequences: list[list[int]]) -> None:
    (tree,) = plant_trees(sequences, 1000)
    beginnings = {tuple(sequence[: end + 1]) for sequence in sequences for end in range(len(sequence))}
    assert len(tree.tokens) == len(beginnings)


@given(SEQUENCES, st.integers(1, 20))
def test_no_tree_is_larger_than_the_budget_unless_one_sequence_is(sequences: list[list[int]], budget: int) -> None:
    for tree in plant_trees(sequences, budget):
        assert (
            len(tree.tokens) <= budget
            or len({tuple(sequences[number]) for number, _ in tree.paths}) == 1
            or _is_chain(sequences, tree.paths)
        )


def _is_chain(sequences: list[list[int]], paths: tuple[tuple[int, object], ...]) -> bool:
    """Sequences that only repeat beginnings of one long sequence cost nothing more than it."""
    longest = max((sequences[number] for number, _ in paths), key=len)
    return all(sequences[number] == longest[: len(sequences[number])] for number, _ in paths)
