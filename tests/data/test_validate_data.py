"""The data stage: what it seals, what it refuses, and in which words."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from schemas.errors import DatasetRefused
from tasks.data.locating import locate_data
from tasks.data.task import validate_data
from tasks.reuse.current_store import current_store
from tests.data.conftest import Room, sound_rows


def test_sound_rows_are_all_kept_in_the_order_of_the_source(room: Room) -> None:
    room.write(sound_rows(60, groups=20))
    data = room.validate(group="group")
    train, held_out = room.table("train"), room.table("held_out")
    assert (data.train_rows, data.held_out_rows, data.refused_rows, data.reasons, data.documents) == (
        train.height,
        held_out.height,
        0,
        {},
        0,
    )
    assert train.schema == {
        "row_id": pl.Int64,
        "history": pl.List(pl.String),
        "prompt": pl.String,
        "completion": pl.String,
        "group": pl.String,
    }
    assert train["row_id"].is_sorted()
    assert sorted([*train["row_id"], *held_out["row_id"]]) == list(range(1, 61))
    assert not set(train["group"]) & set(held_out["group"])


def test_two_runs_seal_the_same_bytes(make_room: Callable[[str], Room]) -> None:
    digests = []
    for name in ("one", "two"):
        room = make_room(name)
        room.write([*sound_rows(200), {"prompt": "", "completion": "x"}])
        room.write("# A\ntext", "docs/a.md")
        room.validate(corpus="docs/*.md")
        digests.append(
            {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in room.workdir.out.iterdir()}
        )
    assert digests[0] == digests[1]
    assert set(digests[0]) == {
        "train.parquet",
        "held_out.parquet",
        "refused.parquet",
        "notes.parquet",
        "tied.parquet",
        "twins.parquet",
        "corpus.parquet",
        "report.json",
    }


def test_the_stage_answers_an_unchanged_source_from_the_store(room: Room) -> None:
    room.write(sound_rows(60))
    config = room.config()
    store = current_store()
    first = validate_data(config.task, config.data, config.seed, locate_data(config, store))
    moved = room.folder / "elsewhere.jsonl"
    (room.folder / "rows.jsonl").rename(moved)
    again = room.config(source="elsewhere.jsonl")
    assert first.digest
    assert validate_data(again.task, again.data, again.seed, locate_data(again, store)) == first


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"prompt": " \n", "completion": "x"}, "empty_prompt"),
        ({"prompt": None, "completion": "x"}, "empty_prompt"),
        ({"prompt": "p", "completion": "\t"}, "empty_answer"),
        ({"prompt": "p"}, "missing_field"),
        ({"prompt": 3, "completion": "x"}, "not_text"),
        ({"prompt": ["p"], "completion": "x"}, "not_text"),
        ({"prompt": "p\x00q", "completion": "x"}, "control_characters"),
        ({"prompt": "p", "completion": "x" * 21}, "answer_too_long"),
        ({"prompt": "question number 7", "completion": "answer 7"}, "exact_duplicate"),
        ("text", "malformed_row"),
        ([1], "malformed_row"),
        (None, "malformed_row"),
    ],
)
def test_a_bad_row_is_listed_with_its_number_and_reason(room: Room, bad: Any, reason: str) -> None:
    rows = sound_rows(120)
    room.write([*rows[:50], bad, *rows[50:]])
    data = room.validate({"answer": {"format": "text", "max_characters": 20}})
    refused = room.table("refused")
    assert data.reasons == {reason: 1}
    # The later of two equal rows is the duplicate.
    assert refused.select("row_id", "file", "reason").row(0) == (51, "rows.jsonl", reason)
    assert data.train_rows + data.held_out_rows + data.refused_rows == 121


def test_the_first_of_two_equal_rows_stays(room: Room) -> None:
    room.write([*sound_rows(60), {"prompt": "  QUESTION number 3 ", "completion": "answer  3"}])
    room.validate()
    assert room.table("refused").select("row_id", "detail").row(0) == (61, "repeats row 4")


def test_a_request_with_two_answers_loses_both(room: Room) -> None:
    room.write([*sound_rows(60), {"prompt": "question number 3", "completion": "no answer"}])
    room.validate(refuse_above=0.1)
    assert room.table("refused").select("row_id", "reason").rows() == [
        (4, "conflicting_answers"),
        (61, "conflicting_answers"),
    ]


def test_marks_inside_a_request_tell_requests_apart(room: Room) -> None:
    sums = [
        {"prompt": f"what is {a} {sign} {b}?", "completion": "a number"}
        for a in range(6)
        for sign in "+-*/"
        for b in range(6)
    ]
    room.write([*sums, {"prompt": "-", "completion": "minus"}, {"prompt": "+", "completion": "plus"}])
    assert room.validate().refused_rows == 0


def test_a_train_row_that_asks_what_a_held_out_row_asks_is_taken_out(room: Room) -> None:
    rows = sound_rows(100, groups=50)
    room.write(rows)
    room.validate(group="group")
    held, train = room.table("held_out").row(0, named=True), room.table("train").row(0, named=True)
    copied = {"prompt": held["prompt"].upper(), "completion": held["completion"], "group": train["group"]}
    room.write([*rows, copied])
    room.validate(group="group", checks={"exact_duplicate": "note"})
    assert room.table("refused").select("row_id", "reason", "detail").rows() == [
        (101, "in_held_out", f"has the request of held-out row {held['row_id']}")
    ]
    assert room.table("notes").is_empty()


def test_a_refused_set_names_counts_rows_and_where_they_are_listed(room: Room) -> None:
    room.write([*sound_rows(94), *[{"prompt": f"p{n}", "completion": ""} for n in range(5)], "text"])
    with pytest.raises(DatasetRefused) as refused:
        room.validate()
    path = room.workdir.folder / "refused.parquet"
    assert str(refused.value).startswith("Dataset rows ")
    assert " refused: 6 of 100 rows. empty_answer 5 (rows 95, 96, 97, +2); malformed_row 1 (row 100).\n" in str(
        refused.value
    )
    assert f"{path}. Fix them, or raise data.refuse_above (0.01)." in str(refused.value)
    assert pl.read_parquet(path).height == 6


def test_dropped_rows_do_not_count_against_the_limit_and_noted_rows_stay(room: Room) -> None:
    room.write(
        [
            *sound_rows(90),
            *[{"prompt": f"p{n}", "completion": ""} for n in range(9)],
            {"prompt": "p\x01", "completion": "x"},
        ]
    )
    data = room.validate(checks={"empty_answer": "drop", "control_characters": "note"}, refuse_above=0)
    assert data.reasons == {"empty_answer": 9}
    assert room.table("notes").select("row_id", "reason", "action").rows() == [(100, "control_characters", "note")]
    assert 100 in [*room.table("train")["row_id"], *room.table("held_out")["row_id"]]
    assert room.report()["noted"]["control_characters"]["first"] == [100]


def test_a_row_that_cannot_be_used_cannot_be_noted(room: Room) -> None:
    with pytest.raises(ValueError, match='empty_answer cannot be "note"'):
        room.config(checks={"empty_answer": "note"})


def test_a_set_without_a_good_row_is_refused_at_any_limit(room: Room) -> None:
    room.write([{"prompt": "", "completion": "x"}] * 5)
    with pytest.raises(DatasetRefused, match="refused: 5 of 5 rows"):
        room.validate(refuse_above=1, checks={"empty_prompt": "drop"})


@pytest.mark.parametrize("group", [None, "", [1], {"a": 1}])
def test_a_row_without_a_group_is_refused(room: Room, group: Any) -> None:
    room.write([*sound_rows(120), {"prompt": "p", "completion": "x", "group": group}])
    assert room.validate(group="group").reasons == {"missing_group": 1}


def test_a_group_may_be_a_number(room: Room) -> None:
    room.write([{**row, "group": n % 40} for n, row in enumerate(sound_rows(120))])
    room.validate(group="group")
    assert set(room.table("train")["group"]) | set(room.table("held_out")["group"]) == {str(n) for n in range(40)}


def test_one_group_only_is_refused(room: Room) -> None:
    room.write(sound_rows(30, groups=1))
    with pytest.raises(DatasetRefused, match="All rows belong to one group"):
        room.validate(group="group")


def test_an_empty_side_is_refused_with_the_number_of_groups_needed(room: Room) -> None:
    room.write(sound_rows(30, groups=3))
    with pytest.raises(
        DatasetRefused, match=r"The held-out set is empty: 3 groups, data\.held_out 0\.001\. With about 4603 groups"
    ):
        room.validate(group="group", held_out=0.001)
    with pytest.raises(DatasetRefused, match="The train set is empty: 3 groups"):
        room.validate(group="group", held_out=0.999)


def test_few_rows_are_advised_against_and_not_refused(room: Room) -> None:
    room.write(sound_rows(60))
    room.validate()
    assert any("fewer than 500" in line for line in room.listener.lines)


def test_nothing_is_refused_in_the_projects_own_demo(make_room: Callable[[str], Room]) -> None:
    room = make_room("demo")
    demo = Path(__file__).parents[2] / "configs" / "demo"
    data = room.validate(
        {"answer": {"format": "json", "json_schema": str(demo / "answer.schema.json")}},
        source=str(demo / "tickets.jsonl"),
        group="group",
        corpus=str(demo / "policies" / "*.md"),
    )
    assert (data.refused_rows, data.reasons) == (0, {})
    assert data.documents == len(list((demo / "policies").glob("*.md")))


def test_rows_that_are_out_stand_in_a_table_with_place_mend_and_how_they_begin(room: Room) -> None:
    secret = "AKIA" + "IOSFODNN7EXAMPLE"
    broken = [
        {"prompt": f"use {secret} for {'x' * 300}", "completion": "a", "group": "s"},
        *({"prompt": f"q {n}", "completion": ""} for n in range(60)),
    ]
    room.write([*sound_rows(20), *broken])
    with pytest.raises(DatasetRefused):
        room.validate()
    shown = room.listener.tables["refused-rows"]
    assert len(shown) == 50
    assert (shown[0]["row_id"], shown[0]["file"], shown[0]["line"], shown[0]["reason"]) == (
        21,
        "rows.jsonl",
        21,
        "secret",
    )
    assert shown[0]["prompt"].startswith("use [SECRET] for xxx")
    assert len(shown[0]["prompt"]) == 201
    assert shown[1]["mend"] == "Write the answer, or remove the row."
    room.validate(refuse_above=1.0)
    refused = room.table("refused")
    assert refused.height == 61
    assert refused["mend"].null_count() == 0
    assert secret not in refused.write_json()
