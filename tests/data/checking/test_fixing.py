"""A fixed copy contains every row that can be fixed, says what was done, and leaves the source alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.command_line.terminal import mended_lines
from schemas.errors import DatasetRefused
from schemas.sources import SourceFile
from tasks.data.checking.fixing import _fixed, fix_rows
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
    done = fix_rows(sources(path), room.folder / "mended.jsonl")
    rows = [json.loads(line) for line in (room.folder / "mended.jsonl").read_text().splitlines()]
    assert [(row["instruction"], row["input"], row["output"]) for row in rows] == [
        ("Say it.", "", "it"),
        ("Un café", "", "Voilà"),
        ("ab", "", "x"),
        ("spaced", "", "x"),
    ]
    assert (done.read, done.written) == (6, 4)
    assert done.counts == {
        "placeholder_input": 1,
        "damaged_encoding": 1,
        "control_characters": 1,
        "outer_white_space": 1,
        "exact_duplicate": 1,
        "unreadable": 1,
    }
    changes = [json.loads(line) for line in (room.folder / "mended.changes.jsonl").read_text().splitlines()]
    assert [change["line"] for change in changes] == [1, 2, 3, 4, 5, 6]
    assert path.read_bytes() == before


def test_each_mend_is_shown_before_and_after_and_what_is_left_out_says_so(room: Room) -> None:
    done = fix_rows(sources(room.write(BAD)), room.folder / "mended.jsonl")
    assert mended_lines(done, Path("mended.jsonl"))[1:] == [
        "  placeholder_input            1",
        '    rows.jsonl:1  "< noinput >" -> ""',
        "  damaged_encoding             1",
        '    rows.jsonl:2  "Un cafÃ©" -> "Un café"',
        "  control_characters           1",
        '    rows.jsonl:3  "a\\u0000b" -> "ab"',
        "  outer_white_space            1",
        '    rows.jsonl:4  " spaced " -> "spaced"',
        "  exact_duplicate              1",
        '    rows.jsonl:5  "{\\"instruction\\":\\"spaced\\",\\"input\\":\\"\\",\\"output\\":\\"x\\"}" left out',
        "  unreadable                   1",
        f'    rows.jsonl:6  "{done.examples[-1].before}" left out',
    ]


def test_two_rows_of_each_mend_are_shown_around_the_place_and_without_secrets(room: Room) -> None:
    secret = "AKIA" + "IOSFODNN7EXAMPLE"
    rows = [{"instruction": f"{n} {secret} " + "word " * 40 + "a\x00b" + " more" * 40, "output": "x"} for n in range(5)]
    done = fix_rows(sources(room.write(rows)), room.folder / "mended.jsonl")
    assert done.counts == {"control_characters": 5}
    assert [edit.place for edit in done.examples] == ["rows.jsonl:1", "rows.jsonl:2"]
    assert all(
        "a\\u0000b more" in edit.before and "ab more" in str(edit.after) and edit.before.startswith("…")
        for edit in done.examples
    )
    beginning = fix_rows(
        sources(room.write([{"instruction": f"a\x00b {secret}", "output": "x"}], "two.jsonl")),
        room.folder / "other.jsonl",
    )
    assert "[SECRET]" in beginning.examples[0].before
    assert secret not in str(beginning)


def test_mended_rows_are_refused_no_more(room: Room) -> None:
    good = [{"instruction": row["prompt"], "input": "", "output": row["completion"]} for row in sound_rows(60)]
    path = room.write([*good, *BAD])
    fix_rows(sources(path), room.folder / "mended.jsonl")
    assert room.validate(source="mended.jsonl").refused_rows == 0


@pytest.mark.parametrize("name", ["mended.jsonl", "mended.changes.jsonl"])
def test_nothing_is_written_over(room: Room, name: str) -> None:
    path = room.write(BAD)
    room.write("mine", name)
    with pytest.raises(DatasetRefused, match="exists already"):
        fix_rows(sources(path), room.folder / "mended.jsonl")
    assert (room.folder / name).read_text() == "mine"
    assert {"rows.jsonl", name} == {path.name for path in room.folder.iterdir()}


@given(
    st.dictionaries(
        st.sampled_from(["input", "a"]),
        st.text() | st.lists(st.text(max_size=3), max_size=2) | st.none() | st.integers(),
    )
)
def test_fixing_twice_is_fixing_once(record: dict[str, object]) -> None:
    once, _ = _fixed(record)
    assert _fixed(once) == (once, [])
