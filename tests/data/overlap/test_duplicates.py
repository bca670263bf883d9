"""Which requests count as the same, and which must not."""

from __future__ import annotations

import polars as pl
import pytest

from tasks.data.text.normalisation import normalised, without_punctuation


def said(*texts: str) -> list[str]:
    return normalised(pl.Series(texts)).to_list()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Has my top-up gone through?", " has my top up  gone through"),
        ('"Where is it?"', "where is it"),
        ("cards, what are they for?!", "Cards - what are they for"),
        ("a-b-c", "a b c"),
        ("¿Dónde está?", "dónde está"),
        ("ﬁne", "fine"),
        ("wait ...", "wait"),
    ],
)
def test_marks_that_end_frame_or_join_words_do_not_count(one: str, other: str) -> None:
    assert len(set(said(one, other))) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("3 + 4", "3 - 4"),
        ("1.5 km", "15 km"),
        ("-3", "3"),
        ("£1", "$1"),
        ("x != y", "x = y"),
        ("[]", "{}"),
        ("?", "!"),
        ("C++", "C"),
        ("ls -l", "ls l"),
        ("10:30", "1030"),
    ],
)
def test_marks_that_change_what_is_asked_count(one: str, other: str) -> None:
    assert len(set(said(one, other))) == 2


def test_without_marks_only_texts_without_digits_become_the_same() -> None:
    assert without_punctuation(pl.Series(["find *.txt", "find .txt", "3 + 4", "3 - 4", "?!", ""])).to_list() == [
        "find txt",
        "find txt",
        "3 + 4",
        "3 - 4",
        "?!",
        "",
    ]


def test_many_texts_are_said_as_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["A-b-c?", None, "", "  x ", "Ünï  «c» ﬁ", "?", "\u3000", "plain"] * 5
    alone = [normalised(pl.Series([text], dtype=pl.String))[0] for text in texts]
    monkeypatch.setattr("tasks.data.text.normalisation.CHUNK", 7)
    assert normalised(pl.Series(texts)).to_list() == alone
    assert alone[:4] == ["a b c", None, "", "x"]
