"""One rule for every column: read, or named as not read with its filled share, or refused; or ignored on purpose."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.errors import DatasetRefused
from tests.data.conftest import Room, sound_rows

ROWS = [(f"question {n}?", f"answer {n}") for n in range(12)]
LAYOUTS: dict[str, Callable[[str, str], dict[str, Any]]] = {
    "prompt_completion": lambda ask, say: {"prompt": ask, "completion": say},
    "names": lambda ask, say: {"question": ask, "answer": say},
    "messages": lambda ask, say: {
        "messages": [{"role": "user", "content": ask}, {"role": "assistant", "content": say}]
    },
    "sharegpt": lambda ask, say: {"conversations": [{"from": "human", "value": ask}, {"from": "gpt", "value": say}]},
    "vertex": lambda ask, say: {
        "contents": [{"role": "user", "parts": [{"text": ask}]}, {"role": "model", "parts": [{"text": say}]}]
    },
    "alpaca": lambda ask, say: {"instruction": ask, "output": say},
}
LOST: dict[str, Any] = {
    "tool_calls": [{"name": "find"}],
    "function_call": {"name": "find"},
    "chosen": "yes",
    "rejected": "no",
    "label": False,
    "weight": -1,
    "reasoning_content": "because",
    "images": ["a.png"],
    "videos": ["a.mp4"],
    "system": "Sing.",
    "systemInstruction": {"parts": [{"text": "Sing."}]},
}


def became(room: Room) -> dict[str, tuple[str, float]]:
    """Return column -> what became of it, and its filled share."""
    return {column["column"]: (column["became"], column["filled"]) for column in room.report()["columns"]}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("column", LOST)
def test_a_column_whose_meaning_would_be_lost_is_refused_in_every_layout(room: Room, layout: str, column: str) -> None:
    room.write([{**LAYOUTS[layout](ask, say), column: LOST[column]} for ask, say in ROWS])
    with pytest.raises(DatasetRefused, match="12 of 12 rows"):
        room.validate(held_out=0.5)
    assert room.validate(held_out=0.5, ignore=[column]).refused_rows == 0
    assert became(room)[column] == ("left out by data.ignore", 1.0)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("empty", [None, "", [], {}, "[]", float("nan")])
def test_a_column_that_says_nothing_loses_nothing(room: Room, layout: str, empty: Any) -> None:
    rows = [{**LAYOUTS[layout](ask, say), "tools": empty, "images": empty} for ask, say in ROWS]
    room.write([{key: value for key, value in row.items() if value == value} for row in rows])
    assert room.validate(held_out=0.5).refused_rows == 0


def test_a_column_that_nothing_reads_is_named_with_its_filled_share(room: Room) -> None:
    room.write([{**row, "notes": "x" if n % 4 == 0 else None} for n, row in enumerate(sound_rows(60))])
    room.validate(group="group")
    assert became(room) == {
        "prompt": ("read: prompt", 1.0),
        "completion": ("read: completion", 1.0),
        "group": ("read: group", 1.0),
        "notes": ("not read", 0.25),
    }
    assert "data: columns not read: notes (25% filled)" in room.listener.lines


def test_a_key_of_a_message_that_nothing_reads_is_named(room: Room) -> None:
    said = [{"role": "user", "content": "where?", "name": "Jo"}, {"role": "assistant", "content": "there", "id": 4}]
    room.write([{"messages": [{**said[0], "content": f"where {n}?"}, said[1]]} for n in range(40)])
    room.validate()
    found = became(room)
    assert [found[f"messages[].{key}"][0] for key in ("role", "content", "name", "id")] == [
        "read: messages",
        "read: messages",
        "not read",
        "not read",
    ]


def test_an_ignored_column_that_no_row_has_is_refused_with_the_nearest_name(room: Room) -> None:
    room.write([{**row, "notes": "x"} for row in sound_rows(60)])
    with pytest.raises(DatasetRefused, match=r"data\.ignore names 'note', .* did you mean 'notes'\?"):
        room.validate(ignore=["note"])


def test_what_is_read_cannot_be_ignored_too(room: Room) -> None:
    with pytest.raises(ValueError, match="ignore names group, which another setting reads"):
        room.config(group="group", ignore=["group"])


VALUES = st.none() | st.text(max_size=4) | st.integers(0, 3) | st.booleans() | st.lists(st.text(max_size=2), max_size=2)
COLUMNS = st.sampled_from(["notes", "source", "score", "Context", "name", "id", "history", "system", "weight", "label"])
_made = iter(range(10**9))


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(LAYOUTS)), st.sampled_from(sorted(LAYOUTS)), COLUMNS, VALUES, VALUES, st.booleans())
def test_no_data_has_the_digest_of_data_whose_rows_said_something_else(
    make_room: Callable[[str], Room], one: str, other: str, column: str, first: Any, second: Any, is_inside: bool
) -> None:
    sealed = []
    for layout, value in ((one, first), (other, second)):
        rows = [LAYOUTS[layout](ask, say) for ask, say in ROWS]
        inner = next(iter(rows[3].values()))
        (inner[0] if is_inside and isinstance(inner, list) else rows[3])[column] = value
        room = make_room(f"room-{next(_made)}")
        room.write(rows)
        try:
            room.validate(held_out=0.5, refuse_above=0.5)
        except DatasetRefused:
            return
        files = sorted(path for path in room.workdir.out.iterdir() if path.name != "notes.parquet")
        sealed.append((json.dumps(rows, sort_keys=True), [path.read_bytes() for path in files]))
    assert (sealed[0][0] == sealed[1][0]) == (sealed[0][1] == sealed[1][1])


def test_an_ignored_column_may_change_and_the_data_stays_the_same(make_room: Callable[[str], Room]) -> None:
    sealed = []
    for exported in ("monday", "tuesday"):
        room = make_room(exported)
        room.write([{**row, "exported": exported} for row in sound_rows(60)])
        room.validate(ignore=["exported"])
        sealed.append(room.report())
    assert sealed[0] == sealed[1]


def test_the_last_answer_that_is_to_be_learned_is_the_row(room: Room) -> None:
    turns = [{"role": "user", "content": "Sure?"}, {"role": "assistant", "content": "No, forget it.", "weight": 0}]
    room.write([{"messages": [*LAYOUTS["messages"](ask, say)["messages"], *turns]} for ask, say in ROWS])
    room.validate(held_out=0.5)
    kept = pl.concat([room.table("train"), room.table("held_out")])
    assert sorted(kept["completion"]) == sorted(say for _, say in ROWS)


def test_a_row_with_weight_zero_is_left_out_and_counted(room: Room) -> None:
    rows = [{**row, "weight": n % 2} for n, row in enumerate(sound_rows(60))]
    room.write(rows)
    assert room.validate().reasons == {"not_learned": 30}


def test_a_system_text_of_a_row_stands_above_its_first_request_if_the_config_says_so(room: Room) -> None:
    room.write(
        [
            {"instruction": f"And {n}?", "output": "yes", "system": f"Count to {n}.", "history": [["Ready?", "Yes."]]}
            for n in range(60)
        ]
    )
    room.validate(system_in_request=True)
    row = room.table("train").row(0, named=True)
    assert row["history"][0].startswith("Count to ")
    assert row["history"][0].endswith(".\n\nReady?")
    assert row["prompt"].startswith("And ")


def test_speakers_and_columns_go_by_the_names_in_the_config(room: Room) -> None:
    room.write(
        [{"x": [{"who": "", "role": "captain", "text": f"{n}?"}, {"role": "mate", "text": "aye"}]} for n in range(60)]
    )
    with pytest.raises(DatasetRefused, match="wrong_roles 60"):
        room.validate(messages="x")
    assert "role 'captain' is not known" in room.listener.tables["refused-rows"][0]["detail"]
    assert room.validate(messages="x", roles={"captain": "user", "mate": "assistant"}).refused_rows == 0


def test_classes_have_the_names_that_the_config_gives_them(room: Room) -> None:
    room.write([{"text": f"mail {n}", "label": n % 2} for n in range(60)] + [{"text": "odd", "label": 2}])
    answer = {"answer": {"format": "choice", "labels": ["ham", "spam"]}}
    assert room.validate(answer, labels=["ham", "spam"], refuse_above=0.1).reasons == {"not_text": 1}
    assert set(room.table("train")["completion"]) == {"ham", "spam"}


def test_of_several_right_answers_the_first_is_learned_and_all_are_kept_for_scoring(room: Room) -> None:
    answers = [{"text": [f"on {n}", f"stand {n}", f"on {n}"], "answer_start": [0, 1, 2]} for n in range(60)]
    room.write([{"question": f"where is {n}?", "context": "", "answers": found} for n, found in enumerate(answers)])
    assert room.validate().refused_rows == 0
    held_out, also = room.table("held_out"), room.table("also_right")
    assert held_out["completion"].to_list() == [f"on {row - 1}" for row in held_out["row_id"]]
    assert also.rows() == [(row, [f"stand {row - 1}"]) for row in held_out["row_id"]]


def test_a_further_answer_that_breaks_the_contract_is_none(room: Room) -> None:
    room.write([{"question": f"where is {n}?", "answer": [f"on {n}", "x" * 50, f"at {n}"]} for n in range(60)])
    room.validate({"answer": {"format": "text", "max_characters": 20}})
    assert set(room.table("also_right")["also"].list.len()) == {1}


def test_a_passage_stands_below_the_request_where_the_config_names_it(room: Room) -> None:
    room.write([{**row, "passage": f"page {n}"} for n, row in enumerate(sound_rows(60))])
    with pytest.raises(DatasetRefused, match="unread_context 60"):
        room.validate()
    room.validate(input="passage")
    assert room.table("train")["prompt"].str.contains(r"^question number (\d+)\?\n\npage \d+$").all()


def test_a_letter_without_a_choice_of_its_own_stays_the_answer(room: Room) -> None:
    choices = {"text": ["In the yard.", "On stand 4."], "label": ["A", "B", "C"]}
    rows = [{"question": f"Where is bike {n}?", "choices": choices, "answerKey": "ABC"[n % 3]} for n in range(12)]
    room.write(rows)
    room.validate(refuse_above=1, held_out=0.5)
    answers = {text for part in ("train", "held_out") for text in room.table(part)["completion"]}
    assert answers == {"In the yard.", "On stand 4.", "C"}
