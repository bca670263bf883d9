"""A held-out row that the champion learned does not count: found by its text, its group, or what the split tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from schemas.champion import SplitRule
from tasks.data.overlap.learned import HowSplit, learned_rows
from tasks.data.splitting import is_held_out

WHAT_IS_KNOWN = HowSplit(None, None, 0.8)
Row = tuple[str, str]  # request, group


def write(folder: Path, side: str, rows: list[Row]) -> Path:
    """Write one side of a split, as the data stage seals it."""
    folder.mkdir(exist_ok=True)
    table: dict[str, Any] = {
        "row_id": list(range(1, len(rows) + 1)),
        "history": [[] for _ in rows],
        "prompt": [prompt for prompt, _ in rows],
        "completion": ["x" for _ in rows],
        "group": [group for _, group in rows],
    }
    pl.DataFrame(table, schema_overrides={"history": pl.List(pl.String)}).write_parquet(folder / f"{side}.parquet")
    return folder


def found(out: Path) -> list[tuple[int, str]]:
    return pl.read_parquet(out / "learned.parquet").rows()


def test_rows_are_found_by_request_by_group_and_by_being_nearly_alike_and_others_are_not(tmp_path: Path) -> None:
    long = "please tell me which of the four printers on the third floor of the north building is out of paper today"
    taught = [
        ("Where is Rome?", "a"),
        ("Who wrote it?", "b"),
        (long, "c"),
        ("What does it cost to send a letter?", "d"),
    ]
    asked = [
        ("where is rome", "x"),
        ("Something else again", "b"),
        (f"{long} and why", "y"),
        ("How many moons has Mars?", "z"),
    ]
    learned = write(tmp_path / "then", "train", taught)
    made = learned_rows(write(tmp_path / "today", "held_out", asked), None, learned, WHAT_IS_KNOWN, tmp_path)
    assert found(tmp_path) == [(1, "same_request"), (2, "same_group"), (3, "near_request")]
    assert (made.learned, made.unseen, made.problem) == (3, 1, "")


def test_a_champion_that_learned_every_row_cannot_be_compared(tmp_path: Path) -> None:
    rows = [("Where is Rome?", "a"), ("Who wrote it?", "b")]
    made = learned_rows(
        write(tmp_path / "today", "held_out", rows),
        None,
        write(tmp_path / "then", "train", rows),
        WHAT_IS_KNOWN,
        tmp_path,
    )
    assert (made.unseen, made.problem) == (0, "it learned, or may have learned, all of today's 2 held-out rows")


@pytest.mark.parametrize("seed", [7, 8])
def test_where_its_rows_are_lost_only_groups_that_its_own_split_held_out_count(seed: int, tmp_path: Path) -> None:
    groups = [f"g{number}" for number in range(200)]
    held_out = [group for group in groups if is_held_out(group, 7, 0.3)]
    today = write(tmp_path / "today", "held_out", [(f"Question {group}?", group) for group in held_out])
    made = learned_rows(
        today, None, None, HowSplit(SplitRule(seed=seed, held_out=0.3, group="topic"), "topic", 0.8), tmp_path
    )
    kept = [group for group in held_out if is_held_out(group, seed, 0.3)]
    assert (made.unseen, made.problem) == (len(kept), "")
    assert (made.learned == 0) is (seed == 7)


def test_a_row_whose_group_was_tied_to_a_learned_one_does_not_count(tmp_path: Path) -> None:
    learned = write(tmp_path / "then", "train", [("Where is Rome?", "a")])
    today = write(tmp_path / "today", "held_out", [("Who wrote it?", "b"), ("Who wrote that?", "b"), ("Why?", "c")])
    pl.DataFrame({"row_id": [2], "group": ["a"]}).write_parquet(today / "tied.parquet")
    learned_rows(today, None, learned, WHAT_IS_KNOWN, tmp_path)
    assert found(tmp_path) == [(1, "same_group"), (2, "same_group")]


def test_where_its_rows_are_lost_a_tied_group_counts_only_if_all_its_names_were_held_out(tmp_path: Path) -> None:
    names = sorted((f"g{number}" for number in range(40)), key=lambda name: not is_held_out(name, 7, 0.3))
    held, other, train = names[0], names[1], names[-1]
    today = write(tmp_path / "today", "held_out", [("One?", held), ("Two?", held), ("Three?", other)])
    pl.DataFrame({"row_id": [2], "group": [train]}).write_parquet(today / "tied.parquet")
    was = SplitRule(seed=7, held_out=0.3, group="topic")
    learned_rows(today, None, None, HowSplit(was, "topic", 0.8), tmp_path)
    assert found(tmp_path) == [(1, "other_split"), (2, "other_split")]


@pytest.mark.parametrize("was", [None, SplitRule(seed=7, held_out=0.3, group="topic")])
def test_where_neither_rows_nor_split_are_known_no_row_counts(was: SplitRule | None, tmp_path: Path) -> None:
    made = learned_rows(
        write(tmp_path / "today", "held_out", [("Where?", "a")]), None, None, HowSplit(was, None, 0.8), tmp_path
    )
    assert made.unseen == 0
    assert "does not show which" in made.problem


def test_only_the_rows_that_are_measured_are_looked_at(tmp_path: Path) -> None:
    learned = write(tmp_path / "then", "train", [("Where is Rome?", "a")])
    made = learned_rows(
        write(tmp_path / "today", "held_out", [("One?", "x"), ("Where is Rome?", "y")]),
        1,
        learned,
        WHAT_IS_KNOWN,
        tmp_path,
    )
    assert (made.learned, made.unseen) == (0, 1)
