"""BM25 over passages or train rows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tasks.inference.retrieval import Search, cut

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


def test_a_passage_ends_between_paragraphs_where_they_are_short_enough() -> None:
    text = "# Leave\n\nTwenty days a year.\n\n" + "word " * 30 + "\n\nLast words here."
    assert [passage.text for passage in cut("leave.md", text, 20)] == [
        "# Leave\n\nTwenty days a year.",
        ("word " * 15).strip(),
        ("word " * 15).strip() + "\n\nLast words here.",
    ]


@given(st.text(alphabet="ab \n", max_size=400), st.integers(1, 30))
def test_cutting_loses_no_word_and_keeps_every_passage_within_its_size(text: str, words: int) -> None:
    passages = cut("d", text, words)
    assert [word for passage in passages for word in passage.text.split()] == text.split()
    assert all(0 < len(passage.text.split()) <= words for passage in passages)
