"""A conversation of several turns is one row: its last answer is learned, what was said before is read, and counts
wherever rows are compared.
"""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from tasks.data.text.normalisation import normalised
from tasks.data.text.turns import full_request, opening
from tests.data.conftest import Room


def talk(*texts: str, system: str | None = None) -> dict[str, Any]:
    said = [{"role": "assistant" if place % 2 else "user", "content": text} for place, text in enumerate(texts)]
    return {"messages": [{"role": "system", "content": system}] * (system is not None) + said}


def sharegpt(*texts: str, system: str | None = None) -> dict[str, Any]:
    said = [{"from": "gpt" if place % 2 else "human", "value": text} for place, text in enumerate(texts)]
    return {"conversations": [{"from": "system", "value": system}] * (system is not None) + said}


TALKS = [
    (f"tell me about town {n}", f"town {n} is old", f"how old is town {n}?", f"{n} hundred years") for n in range(60)
]


def kept(room: Room) -> pl.DataFrame:
    return pl.concat([room.table("train"), room.table("held_out")]).sort("row_id")


@pytest.mark.parametrize("made", [talk, sharegpt])
@pytest.mark.parametrize("system", [None, "Answer."])
def test_the_last_answer_is_the_rows_and_the_turns_before_it_are_its_history(
    room: Room, made: Any, system: str | None
) -> None:
    room.write([made(*turns, system=system) for turns in TALKS])
    assert room.validate().refused_rows == 0
    rows = kept(room).select("history", "prompt", "completion").rows()
    assert rows == [([first, second], third, fourth) for first, second, third, fourth in TALKS]


def test_two_columns_may_hold_messages(room: Room) -> None:
    said = [talk(*turns, system="Answer.")["messages"] for turns in TALKS]
    room.write(
        [
            {"prompt": turns[:-1], "completion": turns[-1:] if n % 2 else turns[-1]["content"]}
            for n, turns in enumerate(said)
        ]
    )
    assert room.validate().refused_rows == 0
    assert kept(room).select("history", "prompt", "completion").row(7) == (list(TALKS[7][:2]), *TALKS[7][2:])


def test_the_same_request_after_other_turns_is_another_request(room: Room) -> None:
    room.write([talk(f"town {n}", "yes?", "how old is it?", f"{n} hundred years") for n in range(60)])
    assert room.validate().reasons == {}


def test_the_same_request_after_the_same_turns_is_a_duplicate_and_with_another_answer_a_conflict(room: Room) -> None:
    other = (*TALKS[1][:3], "nobody knows")
    room.write(
        [*(talk(*turns) for turns in TALKS), talk(*(text.upper() for text in TALKS[0][:3]), TALKS[0][3]), talk(*other)]
    )
    room.validate(refuse_above=0.1)
    assert room.table("refused").select("row_id", "reason").rows() == [
        (2, "conflicting_answers"),
        (61, "exact_duplicate"),
        (62, "conflicting_answers"),
    ]


def test_rows_unrolled_from_one_conversation_stand_on_one_side(room: Room) -> None:
    unrolled = [talk(*turns[:end]) for turns in TALKS for end in (2, 4)]
    room.write(unrolled)
    room.validate()
    for side in ("train", "held_out"):
        numbers = set(room.table(side)["row_id"])
        assert {number + 1 if number % 2 else number - 1 for number in numbers} == numbers


def test_personal_data_in_an_earlier_turn_is_noted_and_masked(room: Room) -> None:
    room.write([*(talk(*turns) for turns in TALKS), talk("I am\njo@firm.de", "Hello jo@firm.de", "who am I?", "Jo")])
    room.validate()
    assert room.table("notes").select("row_id", "reason", "detail").row(0) == (
        61,
        "email_address",
        "an e-mail address in the history",
    )
    room.validate(checks={"email_address": "mask"})
    assert kept(room)["history"][60].to_list() == ["I am\n[EMAIL]", "Hello [EMAIL]"]


def test_what_was_asked_is_every_turn_and_the_opening_is_the_first() -> None:
    rows = pl.DataFrame(
        {"history": [[], ["A?", "b"], [None, "b"]], "prompt": ["P.", "Q", None]},
        schema_overrides={"history": pl.List(pl.String)},
    )
    assert full_request(rows).to_list() == ["P.", "A?\nb\nQ", "b"]
    assert opening(rows.with_columns(normalised=normalised(full_request(rows)))).to_list() == ["p", "a", None]


def test_sets_without_a_history_are_compared_by_their_requests_alone() -> None:
    rows = pl.DataFrame({"prompt": ["P.", None]}).with_columns(history=pl.lit([], dtype=pl.List(pl.String)))
    assert full_request(rows).to_list() == ["P.", None]
