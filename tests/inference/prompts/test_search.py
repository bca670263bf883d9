"""BM25 over passages or train rows."""

from __future__ import annotations

from tasks.inference.prompts.search import Search

TEXTS = ["Refunds take five days.", "Printers are on floor three.", "The VPN needs a token; tokens are refunded never."]


def test_the_text_that_shares_most_words_with_the_query_comes_last() -> None:
    found = Search(TEXTS).nearest("How long does a refund take?", 2)
    assert found[-1] == 0
    assert set(found) == {0, 2}


def test_a_query_that_shares_no_word_with_any_text_finds_nothing() -> None:
    assert Search(TEXTS).nearest("zebra", 3) == []
    assert Search(TEXTS).nearest("", 3) == []
    assert Search(["the", "of"]).nearest("the printer", 1) == []


def test_equal_texts_are_found_in_the_order_of_the_corpus() -> None:
    assert Search(["red car", "red car", "red car", "blue"]).nearest("red", 2) == [1, 0]
