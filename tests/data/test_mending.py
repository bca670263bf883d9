"""A mended copy holds every row that can be mended, says what was done, and leaves the source alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.artifacts import SourceFile
from schemas.errors import DatasetRefused
from tasks.data.mending import _mended, mend_rows
from tests.data.conftest import Room, sound_rows

BAD = [
    {"instruction": "Say it.", "input": "< noinput >", "output": "it"},
    {"instruction": "Un cafÃ©", "input": "", "output": "VoilÃ\xa0"},
    {"instruction": "a\x00b", "input": "", "output": "x"},
    {"instruction": " spaced ", "input": "", "output": "x"},
    {"instruction": "spaced", "input": "", "output": "x"},
    "no row",
]


def sources(path: Path) -> list[SourceFile]:
    return [SourceFile(path=str(path), digest="", suffix=path.suffix)]


def test_what_can_be_mended_is_and_what_was_done_is_listed(room: Room) -> None:
    path = room.write(BAD)
    before = path.read_bytes()
    counts = mend_rows(sources(path), room.folder / "mended.jsonl")
    rows = [json.loads(line) for line in (room.folder / "mended.jsonl").read_text().splitlines()]
    assert [(row["instruction"], row["input"], row["output"]) for row in rows] == [
        ("Say it.", "", "it"),
        ("Un café", "", "Voilà"),
        ("ab", "", "x"),
        ("spaced", "", "x"),
    ]
    assert counts == {"placeholder_input": 1, "damaged_encoding": 1, "control_characters": 1, "outer_white_space": 1, "exact_duplicate": 1, "unreadable": 1}
    changes = [json.loads(line) for line in (room.folder / "mended.changes.jsonl").read_text().splitlines()]
    assert [change["line"] for change in changes] == [1, 2, 3, 4, 5, 6]
    assert path.read_bytes() == before


def test_mended_rows_are_refused_no_more(room: Room) -> None:
    good = [{"instruction": row["prompt"], "input": "", "output": row["completion"]} for row in sound_rows(60)]
    path = room.write([*good, *BAD])
    mend_rows(sources(path), room.folder / "mended.jsonl")
    assert room.validate(source="mended.jsonl").refused_rows == 0


@pytest.mark.parametrize("name", ["mended.jsonl", "mended.changes.jsonl"])
def test_nothing_is_written_over(room: Room, name: str) -> None:
    path = room.write(BAD)
    room.write("mine", name)
    with pytest.raises(DatasetRefused, match="exists already"):
        mend_rows(sources(path), room.folder / "mended.jsonl")
    assert (room.folder / name).read_text() == "mine"
    assert {"rows.jsonl", name} == {path.name for path in room.folder.iterdir()}


@given(st.dictionaries(st.sampled_from(["input", "a"]), st.text() | st.lists(st.text(max_size=3), max_size=2) | st.none() | st.integers()))
def test_mending_twice_is_mending_once(record: dict[str, object]) -> None:
    once, _ = _mended(record)
    assert _mended(once) == (once, [])
