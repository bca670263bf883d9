"""The language of rows is told where it is sure, and a row in another one than the rest of its set is noted."""

from __future__ import annotations

import random

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.data.checking.languages import index_language, languages_of, other_languages, with_languages
from tests.data.conftest import Room

ENGLISH = "Where can I find the invoice for my last order?"
GERMAN = "Wo finde ich die Rechnung zu meiner letzten Bestellung?"
LONG = {
    "en": ENGLISH,
    "de": GERMAN,
    "fr": "Mon colis n'est pas encore arrivé, pouvez-vous m'aider ?",
    "es": "¿Dónde puedo encontrar la factura de mi último pedido?",
    "it": "Il pacco che ho ordinato non è ancora arrivato a casa.",
    "ru": "Где находится мой заказ и когда он придёт?",
    "ja": "最後の注文の請求書はどこで見つけられますか。",
    "ar": "أين يمكنني أن أجد فاتورة طلبي الأخير من فضلكم؟",
}


@pytest.mark.parametrize("code", LONG)
def test_a_sentence_in_a_language_is_told(code: str) -> None:
    assert languages_of(pl.Series([LONG[code]])).to_list() == [code]


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "Texas",
        "ls -la /usr/lib | grep -v foo | awk '{print $5}' | sort -n",
        "1 2 3 4 5 6 7 8 9 10 11 12 13 14",
        "\ud7ff\ufffe\x00",
    ],
)
def test_what_is_too_short_or_no_language_is_in_none(text: str | None) -> None:
    assert languages_of(pl.Series([text], dtype=pl.String)).to_list() == [None]


def test_a_text_in_two_languages_is_in_none() -> None:
    assert languages_of(pl.Series([" ".join([ENGLISH] * 6 + [GERMAN] * 6)[:600]])).to_list() == [None]


@given(st.lists(st.none() | st.text(max_size=40), max_size=5))
def test_any_text_is_in_a_language_or_in_none(texts: list[str | None]) -> None:
    assert len(languages_of(pl.Series(texts, dtype=pl.String))) == len(texts)


@pytest.mark.parametrize(
    ("texts", "language"),
    [
        ([GERMAN] * 3, "de"),
        ([GERMAN] * 3 + [ENGLISH], "de"),
        ([GERMAN] * 3 + [ENGLISH] * 3, "characters"),
        ([LONG["ja"]] * 2, "characters"),
        (["oak and elm", "how high is it", "rivers run to lakes"], "en"),
        (["拖车多少钱", "刹车维修要多久"], "characters"),
        (["x1", "b2"], "none"),
        ([], "none"),
    ],
)
def test_an_index_is_built_for_the_main_language_or_for_pieces_of_a_few_characters(
    texts: list[str], language: str
) -> None:
    assert index_language(pl.Series(texts, dtype=pl.String)) == language


def noted(prompts: list[str], answers: list[str], is_text: bool = True) -> list[tuple[int, str, str]]:
    rows = pl.DataFrame({"row_id": range(1, len(prompts) + 1), "prompt": prompts, "completion": answers})
    return other_languages(with_languages(rows, is_text)).rows()


def test_a_row_in_another_language_than_most_is_noted_for_its_request_and_for_its_answer() -> None:
    assert noted([ENGLISH] * 4 + [GERMAN], ["yes"] * 5) == [
        (5, "other_language", "the prompt is in de, most rows are in en")
    ]
    assert noted([ENGLISH] * 5, [LONG["fr"]] * 4 + [ENGLISH]) == [
        (5, "other_language", "the completion is in en, most rows are in fr")
    ]
    assert noted([ENGLISH] * 5, [LONG["fr"]] * 4 + [ENGLISH], is_text=False) == []


def test_a_set_in_several_languages_has_no_main_one() -> None:
    assert noted([ENGLISH, ENGLISH, GERMAN, GERMAN, LONG["fr"]], ["yes"] * 5) == []


def test_languages_are_counted_in_the_report_and_the_action_can_be_set(room: Room) -> None:
    rng = random.Random(1)
    words = ENGLISH.rstrip("?").split()
    rows = [
        {"prompt": f"{' '.join(rng.sample(words, len(words)))} {n}?", "completion": f"number {n}"} for n in range(60)
    ]
    room.write([*rows, {"prompt": GERMAN, "completion": "number 60"}])
    room.validate()
    assert room.report()["noted"]["other_language"]["first"] == [61]
    assert room.report()["languages"] == {"prompt": {"en": 60, "de": 1}, "completion": {}}
    assert room.validate(checks={"other_language": "drop"}).reasons == {"other_language": 1}
