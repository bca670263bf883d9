"""Documents cut into passages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tasks.inference.prompts.passages import cut


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
