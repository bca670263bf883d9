"""Rows that nearly repeat each other are one group: on one side of the split, one unit of every interval, and none of
them moves when rows are appended.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from schemas.artifacts import DataArtifact
from schemas.sources import BenchmarkSources
from tasks.data.overlap.near_rows import near_rows, paired, twins_on_both_sides
from tasks.data.overlap.ties import Ties, clustered, tie, untied
from tasks.data.splitting import is_held_out
from tasks.data.task import check_leakage
from tasks.intervals import mean_interval
from tests.data.conftest import Room
from tests.data.overlap.test_near_duplicates import jaccard, near_twins, texts

Pairs = list[tuple[int, int]]
LINKS = st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)).filter(lambda pair: pair[0] < pair[1]), max_size=15)
GROUPS = st.lists(st.integers(0, 8), min_size=12, max_size=12)
ALONE = list(range(12))
CONFLICTING = 258  # an appended row gives another answer to a held-out one, so that both leave


def tied(groups: Sequence[int], held: set[int], pairs: Pairs) -> Ties:
    """Tie rows of these groups, of which some are drawn to be held out."""
    frame = pl.DataFrame(
        [(first, second, 1.0) for first, second in sorted(set(pairs))],
        schema={"first": pl.Int64, "second": pl.Int64, "similarity": pl.Float64},
        orient="row",
    )
    return tie(np.array(groups, dtype=np.uint64), np.array([group in held for group in groups]), frame)


def closure(pairs: Pairs) -> list[set[int]]:
    """Return the sets of linked numbers, by the plainest rule."""
    sets = [{number} for number in ALONE]
    for one, other in pairs:
        joined = set[int]().union(*(some for some in sets if one in some or other in some))
        sets = [some for some in sets if not some & joined] + [joined]
    return sets


@settings(deadline=None)
@given(GROUPS, LINKS)
def test_on_one_side_what_is_linked_directly_or_through_others_is_one_group(groups: list[int], pairs: Pairs) -> None:
    same = [(one, other) for other in ALONE for one in ALONE[:other] if groups[one] == groups[other]]
    involved = {groups[row] for pair in pairs for row in pair}
    for some in closure(pairs + same):
        leaders = {int(tied(groups, set(), pairs).leaders[row]) for row in some}
        assert leaders == {min(some)} or not involved & {groups[row] for row in some}


@settings(deadline=None)
@given(LINKS)
def test_linked_numbers_have_the_smallest_of_them_in_common(pairs: Pairs) -> None:
    expected = {number: min(some) for some in closure(pairs) if len(some) > 1 for number in some}
    one, other = (np.array([pair[at] for pair in pairs], dtype=np.int64) for at in (0, 1))
    assert dict(clustered(one, other).iter_rows()) == expected


@settings(deadline=None)
@given(st.sets(st.integers(0, 11)), LINKS)
def test_without_named_groups_no_pair_is_on_both_sides_but_those_of_a_bridge(held: set[int], pairs: Pairs) -> None:
    ties = tied(ALONE, held, pairs)
    for one, other in pairs:
        if not {one, other} & set(ties.bridges.tolist()):
            assert ties.leaders[one] == ties.leaders[other]


@settings(deadline=None)
@given(GROUPS, st.sets(st.integers(0, 8)), LINKS, st.integers(1, 12))
def test_appended_rows_neither_move_a_row_nor_part_two(
    groups: list[int], held: set[int], pairs: Pairs, count: int
) -> None:
    earlier = [pair for pair in pairs if pair[1] < count]
    before, after = tied(groups[:count], held, earlier), tied(groups, held, pairs)
    assert before.bridges.tolist() == [row for row in after.bridges.tolist() if row < count]
    for row in range(count):
        assert (groups[before.leaders[row]] in held) == (groups[after.leaders[row]] in held)
        assert after.leaders[row] == after.leaders[before.leaders[row]] or before.leaders[row] == row


@settings(deadline=None)
@given(GROUPS, st.sets(st.integers(0, 8)), LINKS)
def test_rows_of_one_named_group_stay_in_one_group(groups: list[int], held: set[int], pairs: Pairs) -> None:
    named = [groups[leader] for leader in tied(groups, held, pairs).leaders]
    for group in set(groups):
        assert len({name for name, own in zip(named, groups, strict=True) if own == group}) == 1


def pairs_of_thirty_words(count: int) -> list[dict[str, str]]:
    """Return rows in pairs that differ in one word, all first ones before all second ones."""
    draw, first = random.Random(4), texts(count, words=30, seed=4)
    second = []
    for text in first:
        words = text.split()
        words[draw.choice([0, -1])] = "another"
        second.append(" ".join(words))
    return [{"prompt": text, "completion": f"answer {n}"} for n, text in enumerate([*first, *second])]


def test_of_300_near_pairs_without_a_group_column_none_is_on_both_sides_and_each_is_one_group(room: Room) -> None:
    room.write(pairs_of_thirty_words(300))
    data = room.validate()
    train, held_out = room.table("train"), room.table("held_out")
    assert (data.train_rows + data.held_out_rows, data.refused_rows) == (600, 0)
    assert not any(jaccard(one, other) >= 0.8 for one in held_out["prompt"] for other in train["prompt"])
    assert mean_interval([1.0] * 600, confidence=0.95, clusters=[*train["group"], *held_out["group"]]).groups == 300
    seen = mean_interval([1.0] * held_out.height, confidence=0.95, clusters=held_out["group"].to_list())
    assert seen.groups == held_out.height / 2
    assert sum(room.report()["groups"].values()) == 300
    assert room.report()["tied"] == {"rows": 300, "groups": 300, "largest": 2}
    assert 0.1 < data.held_out_rows / 600 < 0.3


def sides(room: Room) -> dict[int, str]:
    """Return row -> side of every kept row."""
    return {row: side for side in ("train", "held_out") for row in room.table(side)["row_id"]}


def changed(text: str, *places: int) -> str:
    """Return the text with other words at these places."""
    words = text.split()
    for place in places:
        words[place] = f"other{place}"
    return " ".join(words)


def growing(seed: int) -> list[dict[str, str]]:
    """Return 90 rows, of which 60 nearly repeat an earlier one, in up to 50 groups."""
    draw = random.Random(seed)
    rows = [{"prompt": text, "completion": "yes", "group": f"g{n}"} for n, text in enumerate(texts(30, seed=seed))]
    for n in range(60):
        near = changed(draw.choice(rows)["prompt"], draw.randrange(60), draw.randrange(60))
        rows.append({"prompt": near, "completion": f"no {n}", "group": f"g{draw.randrange(50)}"})
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("group", [None, "group"])
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1000))
@example(seed=CONFLICTING)
def test_appended_rows_move_none_and_none_is_lost(room: Room, group: str | None, seed: int) -> None:
    rows = growing(seed)
    room.write(rows[:60])
    room.validate(group=group, held_out=0.4, refuse_above=1)
    before, out = sides(room), dict(room.table("refused").select("row_id", "reason").iter_rows())
    room.write(rows)
    data = room.validate(group=group, held_out=0.4, refuse_above=1)
    after = {row: side for row, side in sides(room).items() if row <= 60}
    assert data.train_rows + data.held_out_rows + data.refused_rows == 90
    assert set(data.reasons) <= {"near_held_out", "conflicting_answers", "exact_duplicate"}
    assert all(after[row] == before[row] for row in after.keys() & before.keys())
    held_out = {row for row, side in before.items() if side == "held_out"}
    conflicting = set(room.table("refused").filter(reason="conflicting_answers")["row_id"])
    assert held_out - after.keys() <= conflicting
    back = after.keys() - before.keys()
    assert {(after[row], out[row]) for row in back} <= {("train", "near_held_out")}
    assert not back or held_out & conflicting


def on_both_sides(room: Room) -> tuple[str, str]:
    """Write 40 rows that have nothing in common, and return a train and a held-out request."""
    room.write([{"prompt": text, "completion": "yes", "group": f"g{n}"} for n, text in enumerate(texts(40))])
    room.validate(group="group", held_out=0.5)
    return room.table("train")["prompt"][0], room.table("held_out")["prompt"][0]


def test_a_new_row_that_nearly_repeats_rows_of_both_sides_leaves_and_they_stay(room: Room) -> None:
    said = texts(20)
    apart = [changed(text, *range(start, start + 5)) for text in said for start in (0, 55)]
    rows = [{"prompt": text, "completion": "yes"} for text in apart]
    room.write(rows)
    room.validate(held_out=0.5)
    before = sides(room)
    number = next(n for n in range(20) if before[2 * n + 1] != before[2 * n + 2])
    room.write([*rows, {"prompt": said[number], "completion": "yes"}])
    data = room.validate(held_out=0.5)
    held = 2 * number + (1 if before[2 * number + 1] == "held_out" else 2)
    assert data.reasons == {"near_held_out": 1}
    assert room.table("refused").select("row_id", "action", "detail").rows() == [
        (41, "drop", f"84% similar to held-out row {held}")
    ]
    assert sides(room) == before


def test_named_groups_that_nearly_repeat_each_other_are_one_with_the_name_of_the_first(room: Room) -> None:
    room.write(near_twins(60))
    data = room.validate({"answer": {"format": "choice", "labels": ["left", "right"]}}, group="group", held_out=0.5)
    every = pl.concat([room.table("train"), room.table("held_out")]).sort("row_id")
    assert (every.height, data.refused_rows) == (120, 0)
    assert every["group"].to_list() == [f"g{n}left" for n in range(60) for _ in range(2)]
    assert room.table("tied").rows() == [(2 * n + 2, f"g{n}right") for n in range(60)]
    notes = room.table("notes")
    assert notes.filter(reason="near_duplicate").height == notes.filter(reason="label_doubt").height == 60
    assert "data: 60 rows nearly repeat rows of an earlier group and now belong to it" in room.listener.lines


def test_train_rows_near_a_held_out_row_of_another_known_group_leave_with_all_that_are_linked(room: Room) -> None:
    train, held = on_both_sides(room)
    rows = [{"prompt": text, "completion": "yes", "group": f"g{n}"} for n, text in enumerate(texts(40))]
    own = {row["prompt"]: row["group"] for row in rows}
    more = [changed(train, *places) for places in ((0,), (0, 59), (0, 59, 1))]
    groups = [own[train], own[train], own[held]]
    rows += [
        {"prompt": text, "completion": f"no {n}", "group": group}
        for n, (text, group) in enumerate(zip(more, groups, strict=True))
    ]
    room.write(rows)
    data = room.validate(group="group", held_out=0.5)
    assert data.reasons == {"near_held_out": 3}
    assert train not in room.table("train")["prompt"].to_list()
    assert more[2] in room.table("held_out")["prompt"].to_list()
    assert not any(jaccard(one, train) >= 0.5 for one in room.table("train")["prompt"])


def test_a_row_that_has_left_still_links_a_train_row_to_a_held_out_one() -> None:
    rows = pl.DataFrame({"row_id": [1, 2, 3], "answered": [0, 0, 0], "is_held_out": [False, False, True]})
    pairs = pl.DataFrame({"first": [0, 1], "second": [1, 2], "similarity": [0.9, 0.9]})
    found, left = paired(rows, pairs, untied(3)), rows.filter(pl.col("row_id") != 2).with_columns(asked="row_id")
    assert near_rows(left["row_id"], found, is_choice=False).rows() == [
        (1, "near_held_out", "similar to rows that are similar to held-out row 3")
    ]
    assert twins_on_both_sides(left, found).rows() == [(3, 1, None)]
    assert twins_on_both_sides(left.filter("is_held_out"), found).is_empty()


@pytest.mark.parametrize("action", ["drop", "note"])
def test_groups_as_named_lose_the_train_twins_or_are_told_with_how_many_stay(room: Room, action: str) -> None:
    room.write(near_twins(60))
    data = room.validate(group="group", held_out=0.5, tie_near_duplicates=False, checks={"near_held_out": action})
    seed = room.config().seed
    crossing = sum(is_held_out(f"g{n}left", seed, 0.5) != is_held_out(f"g{n}right", seed, 0.5) for n in range(60))
    assert room.table("tied").is_empty()
    assert room.table("refused" if action == "drop" else "notes").filter(reason="near_held_out").height == crossing > 0
    assert data.reasons == ({"near_held_out": crossing} if action == "drop" else {})
    assert _twins(room, data) == (0 if action == "drop" else crossing)


def _twins(room: Room, data: DataArtifact) -> int:
    sealed = data.model_copy(update={"digest": room.workdir.store.seal("data", room.workdir.out)})
    return check_leakage(sealed, BenchmarkSources(names=()), {}).twins


def test_a_held_out_set_of_one_large_cluster_is_not_more_likely_than_the_share_that_is_asked_for() -> None:
    draw = random.Random(3)
    held = {row for row in range(20_000) if draw.random() < 0.2}
    pairs = [(row, row + 1) for row in range(20_000) if row % 10 != 9 and row < 19_999]
    leaders = tied(range(20_000), held, pairs).leaders
    share = sum(int(leader) in held for leader in leaders) / 20_000
    assert share == pytest.approx(0.2, abs=0.03)
