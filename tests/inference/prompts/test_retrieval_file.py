"""What a version carries to retrieve from comes back as it was."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tasks.inference.prompts.passages import Passage
from tasks.inference.prompts.prompt_builder import Example, PromptContext, Request
from tasks.inference.prompts.retrieval_file import FILE, deserialised, in_words, serialised

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
PASSAGES = st.lists(st.builds(Passage, TEXT, TEXT), min_size=1, max_size=4).map(
    lambda found: PromptContext((), tuple(found), (), 3, "de", "fused", Path("digest") / "index")
)
REQUESTS = st.builds(Request, TEXT, st.lists(TEXT, max_size=2).map(tuple))
ROWS = st.lists(st.builds(Example, REQUESTS, TEXT), min_size=1, max_size=4).map(
    lambda found: PromptContext(examples=tuple(found), top_k=3)
)


@given(PASSAGES | ROWS)
def test_what_is_retrieved_from_comes_back_whatever_its_texts_hold(shown: PromptContext) -> None:
    with tempfile.TemporaryDirectory() as folder:
        content = serialised(shown)
        (Path(folder) / FILE).write_bytes(content)
        assert deserialised(Path(folder), 3, hashlib.sha256(content).hexdigest()) == shown


def test_what_is_carried_is_counted_in_words() -> None:
    assert in_words(PromptContext(passages=(Passage("a", "b"),))) == "1 passage"
    assert in_words(PromptContext(examples=(Example(Request("a"), "b"),) * 1200)) == "1,200 train rows"
