"""Documents cut into passages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tasks.inference.prompts.passages import cut


def test_a_passage_ends_between_paragraphs_where_they_are_short_enough() -> None:
    text = "# Leave\n\nTwenty days a year.\n\n" + "word " * 30 + "\n\nLast words here."
    assert [passage.text for passage in cut("leave.md", text, 20)] == [
        "# Leave\n\nTwenty days a year.",
        ("word " * 20).strip(),
        "word " * 10 + "\n\nLast words here.",
    ]


@given(st.text(alphabet="ab. #\n\f", max_size=400), st.integers(1, 30))
def test_cutting_loses_no_word_and_keeps_every_passage_within_its_size(text: str, words: int) -> None:
    passages = cut("d", text, words)
    assert [word for passage in passages for word in passage.text.split()] == text.split()
    assert all(text[one.start : one.end].split() == one.text.split() for one in passages)
    assert all(0 < len(passage.text.split()) <= words for passage in passages)


def test_a_passage_knows_its_heading_its_page_and_its_characters() -> None:
    text = "# Rules\n\nOne two three four.\fMore of it.\n\n## Pets\n\nCats may stay. Dogs may not."
    passages = cut("house.pdf", text, 10)
    assert [(one.heading, one.page, text[one.start : one.end]) for one in passages] == [
        ("Rules", 1, "# Rules\n\nOne two three four.\fMore of it."),
        ("Pets", 2, "## Pets\n\nCats may stay. Dogs may not."),
    ]
    assert passages[0].text == "# Rules\n\nOne two three four.\nMore of it."


def test_a_long_paragraph_is_cut_at_the_end_of_a_sentence_and_a_heading_stays_with_what_it_heads() -> None:
    text = "First words. One two three four five. Six seven eight.\n\n# Next\n\nLast."
    assert [one.text for one in cut("d", text, 7)] == [
        "First words. One two three four five.",
        "Six seven eight.\n\n# Next\n\nLast.",
    ]


def test_a_script_without_spaces_is_cut_by_its_characters() -> None:
    assert [one.text for one in cut("d", "营业时间从九点开始。拖车周末租金。", 10)] == [
        "营业时间从九点开始。",
        "拖车周末租金。",
    ]
