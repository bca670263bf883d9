"""Retrieval: BM25 over passages or train rows."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import bm25s
import numpy
import Stemmer

logging.getLogger("bm25s").setLevel(logging.WARNING)  # it sets itself to DEBUG, and a run's log is for people


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
        """Return the places of up to `count` texts that share a word with the query, the nearest one last; ties go to
        the earlier text.
        """
        words = [] if self._is_empty else [word for word in self._words([query])[0] if word in self._known]
        if not words:
            return []
        scores = self._index.get_scores(words)
        best = numpy.argsort(-scores, kind="stable")[:count]
        return [int(place) for place in reversed(best) if scores[place] > 0]

    def _words(self, texts: list[str]) -> list[list[str]]:
        return list(bm25s.tokenize(texts, stopwords="en", stemmer=self._stemmer, return_ids=False, show_progress=False))
