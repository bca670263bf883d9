"""Documents cut into passages."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

WORD = re.compile(r"\S+")
BLANK_LINE = re.compile(r"\n\s*\n")


@dataclass(frozen=True)
class Passage:
    """A stretch of a document."""

    document: str
    text: str


def cut(document: str, text: str, words: int) -> list[Passage]:
    """Cut a document into passages of at most `words` words, between paragraphs where that is possible."""
    passages: list[list[str]] = []
    room = 0
    for piece in (piece for paragraph in BLANK_LINE.split(text) for piece in _pieces(paragraph, words)):
        size = len(WORD.findall(piece))
        if size > room:
            passages.append([])
            room = words
        passages[-1].append(piece)
        room -= size
    return [Passage(document, "\n\n".join(pieces)) for pieces in passages]


def _pieces(paragraph: str, words: int) -> Iterator[str]:
    """Yield a paragraph whole, or in equal parts when it is too long; its line breaks stay."""
    spans = [match.span() for match in WORD.finditer(paragraph)]
    if not spans:
        return
    size = math.ceil(len(spans) / math.ceil(len(spans) / words))
    for start in range(0, len(spans), size):
        part = spans[start : start + size]
        yield paragraph[part[0][0] : part[-1][1]]
