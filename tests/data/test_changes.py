"""Rows against those of the last time; and nothing of it in what is sealed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.artifacts import DataArtifact
from tasks.data.changes import Changes, changes_between
from tasks.data.locating import locate_data
from tasks.data.task import validate_data
from tasks.planning import current_run
from tasks.progress import audience
from tests.data.conftest import Listener, Room, sound_rows

Rows = dict[str, str]
ROWS = st.dictionaries(st.text(max_size=3), st.text(max_size=2), max_size=12)


def write(folder: Path, train: Rows, held_out: Rows) -> Path:
    folder.mkdir(exist_ok=True)
    for side, rows in (("train", train), ("held_out", held_out)):
        frame = pl.DataFrame({"prompt": list(rows), "completion": list(rows.values())}, schema={"prompt": pl.String, "completion": pl.String}).with_columns(
            history=pl.lit([], dtype=pl.List(pl.String))
        )
        frame.write_parquet(folder / f"{side}.parquet")
    return folder


@given(old=ROWS, new=ROWS)
def test_the_counts_are_those_of_two_mappings_from_request_to_answer(tmp_path_factory: pytest.TempPathFactory, old: Rows, new: Rows) -> None:
    folder = tmp_path_factory.getbasetemp()
    found = changes_between(write(folder / "old", old, {}), write(folder / "new", new, {}))
    changed = sum(old[asked] != new[asked] for asked in old.keys() & new.keys())
    assert found == Changes(len(new.keys() - old.keys()), len(old.keys() - new.keys()), changed, 0)


def test_a_row_on_the_other_side_has_moved_and_did_not_come_or_go(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one", {"a": "1", "b": "2"}, {"c": "3"}), write(tmp_path / "two", {"a": "1", "c": "3"}, {"b": "2"})
    assert changes_between(one, two) == Changes(0, 0, 0, 2)


def test_only_the_same_runs_last_data_is_compared_and_nothing_of_it_is_sealed(make_room: Callable[[str], Room]) -> None:
    room, listener = make_room("room"), Listener()

    def validated(run: str, rows: list[dict[str, str]]) -> DataArtifact:
        room.write(rows)
        config = room.config(group="group", refuse_above=0.5)
        listener.lines.clear()
        named, heard = current_run.set(run), audience.set(listener)
        try:
            return validate_data(config.task, config.data, config.seed, locate_data(config, room.bench.store))
        finally:
            current_run.reset(named)
            audience.reset(heard)

    def said() -> list[str]:
        return [line for line in listener.lines if "since the last time" in line]

    rows = sound_rows(40)
    first = validated("one", rows)
    assert said() == []
    validated("other", [{**row, "prompt": f"other {row['prompt']}"} for row in rows])
    assert said() == []
    validated("one", [*rows[1:39], {**rows[39], "completion": "another"}, *sound_rows(43)[40:]])
    assert said() == ["data: since the last time: 3 rows added, 1 removed, 1 with another answer, 0 moved to the other side"]
    assert all("last time" not in path.read_text(errors="ignore") for path in room.bench.store.open(first.digest).iterdir())


def test_labels_on_one_side_only_and_far_shares_are_said_with_numbers(room: Room) -> None:
    labels = ("red", "green", "blue")
    rows = [{"prompt": f"question number {n}?", "completion": "red" if n < 40 else "green", "group": f"g{n}" if n < 40 else "one"} for n in range(60)]
    room.write(rows)
    room.validate({"answer": {"format": "choice", "labels": labels}}, group="group")
    found = room.report()["labels"]
    lonely = "not_measured" if found["train"]["green"] else "not_learned"
    assert found["balance"][lonely] == ["green"]
    assert found["train"]["blue"] == found["held_out"]["blue"] == 0
    share = {side: found[side]["red"] / sum(found[side].values()) for side in ("train", "held_out")}
    said = [line for line in room.listener.lines if line.startswith("data: labels: ")]
    assert said[0].startswith("data: labels: 1 label has ('green') no ")
    assert f"{share['train']:.1%} of the train rows and {share['held_out']:.1%} of the held-out rows; a group's side follows from the seed" in said[1]


def test_alike_sides_are_not_spoken_of(room: Room) -> None:
    room.write([{"prompt": f"question number {n}?", "completion": ("red", "green")[n % 2]} for n in range(2000)])
    room.validate({"answer": {"format": "choice", "labels": ("red", "green")}})
    assert [line for line in room.listener.lines if line.startswith("data: labels")] == []
    assert json.dumps(room.report()["labels"]["balance"]["not_measured"]) == "[]"
