"""Rows that say themselves which are held out, by a file of their own or their time; answers in a file of their own."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from schemas.errors import ConfigRefused, DatasetRefused
from tests.data.conftest import Room, sound_rows

TEST = [{"prompt": f"test {n}?", "completion": f"yes {n}", "group": f"t{n}"} for n in range(10)]


def sides(room: Room) -> tuple[list[int], list[int]]:
    """Return the row numbers of the train rows and of the held-out rows."""
    train, held_out = (sorted(room.table(name)["row_id"]) for name in ("train", "held_out"))
    return train, held_out


def test_rows_of_a_file_of_their_own_are_held_out_and_all_others_are_not(room: Room) -> None:
    room.write(sound_rows(30))
    room.write(TEST, "test.jsonl")
    room.validate(held_out_source="test.jsonl")
    assert sides(room) == (list(range(1, 31)), list(range(31, 41)))


def test_near_duplicates_move_no_row_out_of_its_own_file(room: Room) -> None:
    same = "please tell me on which stand of the long yard the bicycle number {} of the old man is"
    room.write([*sound_rows(30), {"prompt": same.format(1), "completion": "a"}])
    room.write([*TEST, {"prompt": same.format(2), "completion": "a"}], "test.jsonl")
    room.validate(held_out_source="test.jsonl", checks={"near_held_out": "note"})
    assert sides(room) == (list(range(1, 32)), list(range(32, 43)))


@pytest.mark.parametrize(
    ("twin", "detail"),
    [
        ({"prompt": "test 3?", "completion": "yes 3", "group": "x"}, "repeats row"),
        ({"prompt": "Something else?", "completion": "no", "group": "t3"}, "has the group of held-out row 34"),
    ],
)
def test_a_train_row_whose_request_or_group_is_held_out_is_taken_out(
    room: Room, twin: dict[str, Any], detail: str
) -> None:
    room.write([*sound_rows(29), twin])
    room.write(TEST, "test.jsonl")
    room.validate(held_out_source="test.jsonl", group="group", refuse_above=0.1)
    assert detail in room.table("refused")["detail"][0]
    assert set(room.table("train")["group"]).isdisjoint(room.table("held_out")["group"])


def test_rows_from_a_date_on_are_held_out(room: Room) -> None:
    rows = [
        {**row, "asked_at": f"2026-0{1 + n // 20}-{1 + n % 20:02}T10:00:00"} for n, row in enumerate(sound_rows(60))
    ]
    room.write([*rows, {"prompt": "when?", "completion": "now", "asked_at": "soon"}])
    room.validate(held_out_after=datetime.date(2026, 3, 1), time="asked_at", refuse_above=0.1)  # as YAML reads it
    assert sides(room) == (list(range(1, 41)), list(range(41, 61)))
    assert room.table("refused").select("reason", "detail").row(0) == (
        "missing_time",
        "'asked_at' is no date or time, such as 2026-01-31",
    )


def test_a_time_may_be_seconds_or_have_a_zone(room: Room) -> None:
    room.write(
        [{**row, "at": 1_767_225_600 + n * 86_400} for n, row in enumerate(sound_rows(60))]
    )  # from 2026-01-01 on
    room.validate(held_out_after="2026-01-31T00:00:00+00:00", time="at")
    assert sides(room) == (list(range(1, 31)), list(range(31, 61)))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"held_out_after": "2026-01-01"}, "time and held_out_after go together"),
        ({"held_out_after": "2026-01-01", "time": "t", "held_out_source": "x"}, "both say what is held out"),
        ({"held_out_after": "tomorrow", "time": "t"}, "held_out_after is no date or time"),
        ({"completion_source": "a.txt", "held_out_source": "b.jsonl"}, "goes with one file of rows"),
        ({"messages": "m", "prompt": "p"}, "prompt and completion name none"),
        ({"source": ["a.jsonl", "b.jsonl"]}, "is one path or one glob for all files"),
        ({"separator": ";;"}, "at most 1 character"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(room: Room, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        room.config(**settings)


def test_lines_of_two_text_files_are_requests_and_answers(room: Room) -> None:
    room.write("".join(f"list file {n}\n" for n in range(40)), "all.nl")
    room.write("".join(f"ls {n}\n" for n in range(40)), "all.cm")
    assert room.validate(source="all.nl", completion_source="all.cm").refused_rows == 0
    assert set(room.table("train")["completion"]) <= {f"ls {n}" for n in range(40)}


def test_lines_may_answer_the_rows_of_another_kind_of_file(room: Room) -> None:
    room.write([{"goal": f"do {n}", "sol1": "a", "sol2": "b"} for n in range(40)])
    room.write("0\n1\n" * 20, "labels.lst")
    answer = {"answer": {"format": "choice", "labels": [0, 1]}}
    assert room.validate(answer, completion_source="labels.lst").refused_rows == 0


def test_files_of_different_length_are_refused(room: Room) -> None:
    room.write("a\nb\n", "all.nl")
    room.write("a\n", "all.cm")
    with pytest.raises(DatasetRefused, match=r"all\.nl has more lines than all\.cm"):
        room.validate(source="all.nl", completion_source="all.cm")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("rows", r"It is a folder; name files in it: rows/\*\.jsonl"),
        ("rows\\a.jsonl", r"Write it with slashes: rows/a\.jsonl"),
        ("rows/a.xls", r"a\.xls is not a supported kind of file; .* Save the sheet as \.xlsx or CSV UTF-8"),
        ("rows/a.txt", r"name it \.jsonl"),
    ],
)
def test_a_source_that_is_no_file_of_rows_says_what_to_name(room: Room, source: str, words: str) -> None:
    for name in ("rows/a.jsonl", "rows/b.jsonl", "rows/a.xls", "rows/a.txt"):
        room.write("x", name)
    with pytest.raises(ConfigRefused, match=words):
        room.validate(source=source)


def test_a_file_is_found_whatever_its_name(room: Room) -> None:
    room.write(sound_rows(30), "tickets [final] (1).jsonl")
    assert room.validate(source="tickets [final] (1).jsonl").refused_rows == 0


def test_a_folder_that_the_datasets_library_saved_is_read_with_its_class_names(room: Room) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["ham", "spam"])}
    )
    rows = datasets.Dataset.from_dict(
        {"text": [f"mail {n}" for n in range(40)], "label": [n % 2 for n in range(40)]}, features=features
    )
    rows.save_to_disk(str(room.folder / "saved"))
    rows.to_parquet(str(room.folder / "saved.parquet"))
    answer = {"answer": {"format": "choice", "labels": ["ham", "spam"]}}
    for source in ("saved", "saved.parquet"):
        assert room.validate(answer, source=source).refused_rows == 0
        assert set(room.table("train")["completion"]) == {"ham", "spam"}
