"""BM25 over passages or train rows."""

from __future__ import annotations

from typing import get_args

import pytest
import Stemmer

from schemas.languages import IndexLanguage
from tasks.inference.prompts.search import STEMMERS, Search

TEXTS = ["Refunds take five days.", "Printers are on floor three.", "The VPN needs a token; tokens are refunded never."]


def test_the_text_that_shares_most_words_with_the_query_comes_last() -> None:
    found = Search(TEXTS).nearest("How long does a refund take?", 2)
    assert found[-1] == 0
    assert set(found) == {0, 2}


def test_a_query_that_shares_no_word_with_any_text_finds_nothing() -> None:
    assert Search(TEXTS).nearest("zebra", 3) == []
    assert Search(TEXTS).nearest("", 3) == []
    assert Search(["the", "of"]).nearest("the printer", 1) == []


def test_a_text_that_is_left_out_is_not_found_and_the_next_one_takes_its_place() -> None:
    search = Search(["red car", "red red car", "red bus in the rain"])
    assert search.nearest("red car", 1) == [0]
    assert search.nearest("red car", 2, left_out=[0]) == [2, 1]


def test_every_language_that_a_config_may_name_has_a_stemmer_that_is_installed() -> None:
    assert {"none", "characters", *STEMMERS} == set(get_args(IndexLanguage))
    assert set(STEMMERS.values()) <= set(Stemmer.algorithms())


@pytest.mark.parametrize(
    ("language", "texts", "query"),
    [
        ("de", ["Die Bahn fährt um acht.", "Rücksendungen sind kostenlos."], "Was kostet eine Rücksendung?"),
        ("characters", ["营业时间从九点开始。", "拖车周末租金每天十五欧元。"], "拖车的租金多少"),
        ("characters", ["ร้านเปิดเวลาเก้าโมง", "ค่าเช่ารถพ่วงวันละสิบห้ายูโร"], "รถพ่วงเช่าเท่าไหร่"),
        ("characters", ["Bahnhof am Markt", "Zażółć gęślą jaźń"], "gęśla?"),
        ("hi", ["किराया पंद्रह यूरो है", "दुकान नौ बजे खुलती है"], "दुकान कब खुलेगी"),
    ],
)
def test_the_passage_about_the_query_is_found_in_its_own_language(language: str, texts: list[str], query: str) -> None:
    assert Search(texts, language).nearest(query, 1) == [1]


def test_english_stems_do_not_find_an_inflected_german_word() -> None:
    assert Search(["Rücksendungen sind kostenlos."], "en").nearest("eine Rücksendung", 1) == []


def test_equal_texts_are_found_in_the_order_of_the_corpus() -> None:
    assert Search(["red car", "red car", "red car", "blue"]).nearest("red", 2) == [1, 0]
