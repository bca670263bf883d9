"""Rows that can be read but should not be learned from are told by reason, and good rows that look alike are not."""

from __future__ import annotations

from typing import get_args

import polars as pl
import pytest

from schemas.sections.data import DataConfig, Doubtful, Personal, Unreadable
from tasks.data.checking.heuristics import suspicious_rows
from tasks.data.checking.reasons import REASONS
from tasks.data.text.normalisation import normalised
from tests.data.conftest import Room, sound_rows

LONG = "This sentence is long enough to be expected to end as a sentence does, " * 3


def doubts(prompt: str, completion: str, given: str | None = None, is_text: bool = True) -> list[str]:
    row = {
        "row_id": [1],
        "prompt": [prompt],
        "normalised": normalised(pl.Series([prompt])),
        "completion": [completion],
        "given": [given],
        "system": [None],
        "history": [[]],
    }
    frame = pl.DataFrame(
        row,
        schema_overrides={"history": pl.List(pl.String), "given": pl.String, "system": pl.String, "row_id": pl.Int64},
    )
    return suspicious_rows(frame, is_text, "Answer.")["reason"].to_list()


@pytest.mark.parametrize(
    ("prompt", "completion", "given", "reason"),
    [
        ("Do it.\n\nNo input", "fine", "< noinput >", "placeholder_input"),
        ("n/a", "fine", None, "placeholder_input"),
        ("NaN", "fine", None, "placeholder_input"),
        ("https://example.org/page?q=1", "It is about cats.", None, "only_an_address"),
        ("Sum up.\n\nwww.example.org", "It is about cats.", "www.example.org", "only_an_address"),
        ("Say hello!", "say hello", None, "answer_repeats_prompt"),
        ("Where?", "As an AI language model, I cannot travel.", None, "speaks_as_ai"),
        ("Where?", "Well, I'm just an AI.", None, "speaks_as_ai"),
        ("Where?", "I'm sorry, but I can't tell.", None, "refusal"),
        ("Where?", LONG + "and then it", None, "answer_cut_off"),
        ("Un cafÃ© s'il vous plaÃ®t", "Voilà.", None, "damaged_encoding"),
        ("Where?", "In the caf\ufffd.", None, "damaged_encoding"),
    ],
)
def test_a_doubtful_row_is_told(prompt: str, completion: str, given: str | None, reason: str) -> None:
    assert doubts(prompt, completion, given) == [reason]


@pytest.mark.parametrize(
    ("prompt", "completion"),
    [
        ("Is there no input?", "None."),
        ("What is at https://example.org?", "A page."),
        ("What does an AI engineer do?", "As an AI engineer, she builds models."),
        ("Excuse me?", "Sorry to hear that; we send a new one."),
        ("Translate: café, naïve, Ærø, 東京, Привет", "«café», „naïve“, Ærø, 東京, Привет 👍"),
        ("Long?", LONG + "and it ends."),
        ("Say hello!", "hello"),
    ],
)
def test_a_good_row_raises_no_doubt(prompt: str, completion: str) -> None:
    assert doubts(prompt, completion) == []


def test_what_makes_free_text_doubtful_does_not_make_a_label_so() -> None:
    assert doubts("Say hello!", "say hello", is_text=False) == []


@pytest.mark.parametrize("action", ["refuse", "drop", "note"])
@pytest.mark.parametrize(
    ("reason", "answer"), [("speaks_as_ai", "As an AI, I cannot."), ("refusal", "I'm sorry, but I cannot.")]
)
def test_an_action_of_the_config_replaces_a_reasons_own(room: Room, reason: str, answer: str, action: str) -> None:
    room.write([*sound_rows(60), {"prompt": "p", "completion": answer}])
    data = room.validate(checks={reason: action}, refuse_above=0.1)
    assert data.reasons == ({} if action == "note" else {reason: 1})
    assert room.report()["noted" if action == "note" else "taken_out"][reason] == {
        "rows": 1,
        "action": action,
        "mend": REASONS[reason].mend,
        "first": [61],
    }


def test_every_reason_can_be_set_in_the_config_and_none_else() -> None:
    assert set(get_args(Unreadable)) | set(get_args(Doubtful)) | set(get_args(Personal)) == set(REASONS)
    assert all(REASONS[reason].action != "note" for reason in get_args(Unreadable))


def test_a_reason_that_is_unknown_is_refused() -> None:
    with pytest.raises(ValueError, match="speaks_as_a_pirate"):
        DataConfig(source="x", checks={"speaks_as_a_pirate": "drop"})  # type: ignore[dict-item]
