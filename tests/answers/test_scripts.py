"""Answers in every script: forms that say the same are the same, forms that do not are not."""

from __future__ import annotations

import polars as pl
import pytest

from tasks.answers.metrics.exact import exact
from tasks.answers.metrics.squad import token_f1
from tasks.answers.scripts import folded, words_of
from tasks.data.text.normalisation import normalised


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("\uff11\uff12\uff13 \uff21\uff22\uff23", "123 ABC", True),
        ("cafe\u0301", "café", True),
        ("\ufb01nd it", "find it", True),
        ("12\u00a0km", "12 km", True),
        ("ｶﾞ", "ガ", True),
        ("x²", "x2", False),
        ("½", "1/2", False),
        ("①", "1", False),
        ("ls -l", "ls -L", False),
        ("१२", "12", False),
    ],
)
def test_a_form_is_the_same_where_it_says_the_same(one: str, other: str, is_same: bool) -> None:
    assert exact(one, other) == float(is_same)


@pytest.mark.parametrize(
    ("output", "gold", "score"),
    [
        ("请把自行车带来。", "请把自行车带来", 1.0),
        ("请把自行车拿来", "请把自行车带来", 6 / 7),
        ("自転車を直す", "自転車を直す。", 1.0),
        ("สวัสดี", "สวัสดี!", 1.0),
        ("“Bring it in”, please…", "bring it in please", 1.0),
        ("cafe\u0301", "café", 1.0),
        ("¿Dónde está?", "dónde está", 1.0),
        ("The bike costs $5", "bike costs 5", 1.0),
        ("x²", "x2", 0.0),
    ],
)
def test_words_are_counted_in_every_script(output: str, gold: str, score: float) -> None:
    assert token_f1(output, gold) == pytest.approx(score)


def test_a_text_without_a_word_in_it_is_like_another_one() -> None:
    assert words_of("…!") == []
    assert token_f1("…", "!") == 1.0
    assert folded("plain") == "plain"


def test_requests_that_differ_in_a_raised_digit_are_two_requests() -> None:
    asked = normalised(pl.Series(["What is 5²?", "What is 52?", "\uff37hat is 52?"]))
    assert asked[0] != asked[1]
    assert asked[1] == asked[2]
