"""Rows against those of the last time; and nothing of it in what is sealed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.artifacts import DataArtifact
from tasks.data.locating import locate_data
from tasks.data.reporting.balance import balance_of, unbalanced
from tasks.data.reporting.changes import ChangedRow, Changes, changed_rows, changes_between
from tasks.data.reporting.earlier import earlier_data
from tasks.data.task import validate_data
from tasks.reuse.planning import current_run
from tasks.reuse.progress import current_reporter
from tests.data.conftest import Listener, Room, sound_rows

Rows = dict[str, str]
ROWS = st.dictionaries(st.text(max_size=3), st.text(max_size=2), max_size=12)


def write(folder: Path, train: Rows, held_out: Rows) -> Path:
    folder.mkdir(exist_ok=True)
    for side, rows, first in (("train", train, 1), ("held_out", held_out, 101)):
        columns = {"row_id": range(first, first + len(rows)), "prompt": list(rows), "completion": list(rows.values())}
        frame = pl.DataFrame(columns, schema={"row_id": pl.Int64, "prompt": pl.String, "completion": pl.String})
        frame = frame.with_columns(history=pl.lit([], dtype=pl.List(pl.String)))
        frame.write_parquet(folder / f"{side}.parquet")
    return folder


@pytest.mark.slow
@settings(deadline=None)
@given(old=ROWS, new=ROWS)
def test_the_counts_are_those_of_two_mappings_from_request_to_answer(
    tmp_path_factory: pytest.TempPathFactory, old: Rows, new: Rows
) -> None:
    folder = tmp_path_factory.getbasetemp()
    found = changes_between(write(folder / "old", old, {}), write(folder / "new", new, {}))
    changed = sum(old[asked] != new[asked] for asked in old.keys() & new.keys())
    assert found == Changes(len(new.keys() - old.keys()), len(old.keys() - new.keys()), changed, 0)


def test_a_row_on_the_other_side_has_moved_and_did_not_come_or_go(tmp_path: Path) -> None:
    one, two = (
        write(tmp_path / "one", {"a": "1", "b": "2"}, {"c": "3"}),
        write(tmp_path / "two", {"a": "1", "c": "3"}, {"b": "2"}),
    )
    assert changes_between(one, two) == Changes(0, 0, 0, 2)


def test_rows_that_differ_are_shown_with_both_answers_and_without_personal_data(tmp_path: Path) -> None:
    one = write(tmp_path / "one", {"same": "1", "other": "old", "gone": "jo@firm.de"}, {})
    two = write(tmp_path / "two", {"new": "3", "same": "1"}, {"other": "new"})
    found = changed_rows(one, two, most=5)
    assert found == [
        ChangedRow(101, "other", "old", "new"),
        ChangedRow(1, "new", None, "3"),
        ChangedRow(3, "gone", "[EMAIL]", None),
    ]


@pytest.mark.slow
@settings(deadline=None)
@given(old=ROWS, new=ROWS)
def test_as_many_rows_are_shown_as_are_counted(tmp_path_factory: pytest.TempPathFactory, old: Rows, new: Rows) -> None:
    folder = tmp_path_factory.getbasetemp()
    before, after = write(folder / "old", old, {}), write(folder / "new", new, {})
    shown = changed_rows(before, after, most=100)
    kinds = [
        sum(row.before is None for row in shown),
        sum(row.after is None for row in shown),
        sum(None not in (row.before, row.after) for row in shown),
    ]
    assert Changes(*kinds, 0) == changes_between(before, after)


@pytest.mark.slow
def test_the_data_before_is_the_same_runs_and_stays_the_same_when_nothing_is_new(room: Room) -> None:
    def validated(run: str, count: int) -> DataArtifact:
        room.write(sound_rows(count))
        config = room.config(group="group")
        current_run.set(run)
        return validate_data(config.task, config.data, config.seed, locate_data(config, room.workdir.store))

    before = current_run.get()
    first = validated("one", 40)
    assert earlier_data(first) is None
    validated("other", 50)
    second = validated("one", 45)
    assert earlier_data(second) == first
    assert validated("one", 45) == second
    assert earlier_data(second) == first
    assert earlier_data(first) is None
    current_run.set(before)


def test_only_the_same_runs_last_data_is_compared_and_nothing_of_it_is_sealed(make_room: Callable[[str], Room]) -> None:
    room, listener = make_room("room"), Listener()

    def validated(run: str, rows: list[dict[str, str]]) -> DataArtifact:
        room.write(rows)
        config = room.config(group="group", refuse_above=0.5)
        listener.lines.clear()
        named, heard = current_run.set(run), current_reporter.set(listener)
        try:
            return validate_data(config.task, config.data, config.seed, locate_data(config, room.workdir.store))
        finally:
            current_run.reset(named)
            current_reporter.reset(heard)

    def said() -> list[str]:
        return [line for line in listener.lines if "since the last run" in line]

    rows = sound_rows(40)
    first = validated("one", rows)
    assert said() == []
    validated("other", [{**row, "prompt": f"other {row['prompt']}"} for row in rows])
    assert said() == []
    validated("one", [*rows[1:39], {**rows[39], "completion": "another"}, *sound_rows(43)[40:]])
    assert said() == [
        "data: since the last run: 3 rows added, 1 removed, 1 with another answer, 0 moved to the other side"
    ]
    assert all(
        "last time" not in path.read_text(errors="ignore") for path in room.workdir.store.open(first.digest).iterdir()
    )


def test_labels_on_one_side_only_and_far_shares_are_said_with_numbers(room: Room) -> None:
    labels = ("red", "green", "blue")
    rows = [
        {
            "prompt": f"question number {n}?",
            "completion": "red" if n < 40 else "green",
            "group": f"g{n}" if n < 40 else "one",
        }
        for n in range(60)
    ]
    room.write(rows)
    room.validate({"answer": {"format": "choice", "labels": labels}}, group="group")
    found = room.report()["labels"]
    lonely = "not_measured" if found["train"]["green"] else "not_learned"
    assert found["balance"][lonely] == ["green"]
    assert found["train"]["blue"] == found["held_out"]["blue"] == 0
    share = {side: found[side]["red"] / sum(found[side].values()) for side in ("train", "held_out")}
    said = [line for line in room.listener.lines if line.startswith("data: labels: ")]
    assert said[0].startswith("data: labels: 1 label has ('green') no ")
    assert f"{share['train']:.1%} of the train rows and {share['held_out']:.1%} of the held-out rows" in said[1]
    assert "a group's side depends only on the seed and its name, so that no row ever moves" in said[2]


def test_a_label_of_which_far_less_or_more_is_held_out_than_was_requested_is_reported() -> None:
    balance = balance_of({"red": 95, "green": 80, "blue": 3}, {"red": 5, "green": 20, "blue": 3}, 0.2)
    assert balance["held_out_of"] == [{"label": "red", "share": 0.05}, {"label": "green", "share": 0.2}]
    assert "5% of the rows of 'red' are held out, 20% was requested" in unbalanced(balance)
    assert not any("'green' are" in line or "'blue' are" in line for line in unbalanced(balance))


def test_an_evener_seed_is_named_and_keeps_what_was_told_of_it(room: Room) -> None:
    labels = tuple(f"label {n}" for n in range(12))
    room.write([{"prompt": f"question number {n}?", "completion": labels[n % 12]} for n in range(72)])
    task = {"answer": {"format": "choice", "labels": labels}}
    room.validate(task)
    told = room.report()["labels"]["balance"]["evener_seed"]
    assert any(f"seed: {told['seed']} splits these rows most evenly" in line for line in room.listener.lines)
    config = room.config(task)
    validate_data.function(
        config.task, config.data, told["seed"], locate_data(config, room.workdir.store), workdir=room.workdir
    )
    after = room.report()["labels"]["balance"]
    assert len(after["not_measured"]) + len(after["not_learned"]) == told["one_sided"]
    assert abs(after["farthest"]["train"] - after["farthest"]["held_out"]) == pytest.approx(told["farthest"], abs=2e-4)


def test_alike_sides_are_not_spoken_of(room: Room) -> None:
    room.write([{"prompt": f"question number {n}?", "completion": ("red", "green")[n % 2]} for n in range(2000)])
    room.validate({"answer": {"format": "choice", "labels": ("red", "green")}})
    assert [line for line in room.listener.lines if line.startswith("data: labels")] == []
    assert json.dumps(room.report()["labels"]["balance"]["not_measured"]) == "[]"
