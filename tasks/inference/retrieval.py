"""BM25 over passages or train rows."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import bm25s
import numpy
import Stemmer

logging.getLogger("bm25s").setLevel(logging.WARNING)  # it sets itself to DEBUG, and a run's log is for people
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


class Search:
    """Finds the texts that are nearest to a query by BM25 over English word stems."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._stemmer = Stemmer.Stemmer("english")
        self._index = bm25s.BM25()
        tokens = self._words(list(texts))
        self._is_empty = not any(tokens)
        if not self._is_empty:
            self._index.index(tokens, show_progress=False)
            self._known = set(self._index.vocab_dict)

    def nearest(self, query: str, count: int) -> list[int]:
        """Return the places of up to `count` texts that share a word with the query, the nearest one last; ties go to the earlier text."""
        words = [] if self._is_empty else [word for word in self._words([query])[0] if word in self._known]
        if not words:
            return []
        scores = self._index.get_scores(words)
        best = numpy.argsort(-scores, kind="stable")[:count]
        return [int(place) for place in reversed(best) if scores[place] > 0]

    def _words(self, texts: list[str]) -> list[list[str]]:
        return list(bm25s.tokenize(texts, stopwords="en", stemmer=self._stemmer, return_ids=False, show_progress=False))
