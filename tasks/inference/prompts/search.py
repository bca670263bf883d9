"""Retrieval over passages or train rows: BM25 by word stems where the language has a stemmer, by the meaning of texts
(tasks/inference/prompts/encoding.py), or both merged by reciprocal rank.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import bm25s
import bm25s.stopwords
import numpy
import Stemmer
from bm25s.tokenization import Tokenized

from tasks.inference.prompts.words import UNSPACED, WORD, folded

if TYPE_CHECKING:
    from tasks.inference.prompts.encoding import Dense

logging.getLogger("bm25s").setLevel(logging.WARNING)  # it sets itself to DEBUG, and a run's log is for people

# The languages of schemas/languages.py.
STEMMERS = {
    "ar": "arabic", "ca": "catalan", "cs": "czech", "da": "danish", "de": "german", "el": "greek", "en": "english",
    "es": "spanish", "et": "estonian", "eu": "basque", "fa": "persian", "fi": "finnish", "fr": "french", "ga": "irish",
    "hi": "hindi", "hu": "hungarian", "hy": "armenian", "id": "indonesian", "it": "italian", "lt": "lithuanian",
    "ne": "nepali", "nl": "dutch", "no": "norwegian", "pl": "polish", "pt": "portuguese", "ro": "romanian",
    "ru": "russian", "sr": "serbian", "sv": "swedish", "ta": "tamil", "tr": "turkish", "yi": "yiddish",
}  # fmt: skip
CHARACTERS = "characters"
UNSPACED_RUN = re.compile(rf"([{UNSPACED}]+)")
SPACED_GRAM, UNSPACED_GRAM = 4, 2  # characters; 4 to 5 are best for European languages, 2 are usual for Chinese


MERGED = 100  # of each list where two are fused
RANK = 60  # of Cormack, Clarke and Buettcher, SIGIR 2009


class Search:
    """Finds the texts that are nearest to a query: by their words, by their meaning, or by both."""

    def __init__(
        self, texts: Sequence[str], language: str = "en", search: str = "bm25", index: Path | None = None
    ) -> None:
        """Index the texts.

        Args:
            texts: what is searched.
            language: code of a language with a stemmer, "none" for words as they are, or "characters" for pieces of a
                few characters, which need no knowledge of the language.
            search: "bm25", "dense" or "fused".
            index: folder with the vectors of the texts; needed by the latter two.
        """
        self._ways: list[Words | Dense] = [] if search == "dense" else [Words(texts, language)]
        if index is not None and search != "bm25":
            from tasks.inference.prompts.encoding import Dense

            self._ways.append(Dense(index, len(texts)))

    def nearest(self, query: str, count: int, left_out: Sequence[int] = ()) -> list[int]:
        """Return the places of up to `count` texts, the nearest one last; ties go to the earlier text. By words alone
        only those are found that share one with the query. Those in `left_out` are never found.
        """
        if len(self._ways) == 1:
            return self._ways[0].best(query, count, left_out)[::-1]
        merged = defaultdict[int, float](float)
        for way in self._ways:
            for rank, place in enumerate(way.best(query, max(count, MERGED), left_out), start=1):
                merged[place] += 1 / (RANK + rank)
        return sorted(merged, key=lambda place: (-merged[place], place))[:count][::-1]


class Words:
    """Finds texts by BM25."""

    def __init__(self, texts: Sequence[str], language: str) -> None:
        self._tokens = _tokeniser(language)
        self._index = bm25s.BM25()
        tokens = self._tokens(texts)
        self._is_empty = not any(tokens.ids)
        if not self._is_empty:
            self._index.index(tokens, show_progress=False)

    def best(self, query: str, count: int, left_out: Sequence[int] = ()) -> list[int]:
        """Return the places of up to `count` texts that share a word with the query, the nearest first."""
        known = {} if self._is_empty else self._index.vocab_dict
        asked = self._tokens([query])
        names = {number: name for name, number in asked.vocab.items()}
        words = [names[number] for number in asked.ids[0] if names[number] in known]
        if not words:
            return []
        scores = self._index.get_scores(words)
        scores[list(left_out)] = 0
        near = numpy.flatnonzero(scores > 0)
        if len(near) > count:  # sorting all of a million takes longer than finding them
            near = near[scores[near] >= numpy.partition(scores[near], -count)[-count]]
        return [int(place) for place in near[numpy.argsort(-scores[near], kind="stable")][:count]]


def _tokeniser(language: str) -> Callable[[Sequence[str]], Tokenized]:
    """Return what makes texts lists of token numbers, in a vocabulary of their own."""
    if language == CHARACTERS:
        return _by_characters
    name = STEMMERS.get(language)
    stopwords = getattr(bm25s.stopwords, f"STOPWORDS_{'EN' if language == 'en' else (name or '').upper()}", ())
    settings = {"stopwords": list(stopwords), "stemmer": Stemmer.Stemmer(name) if name else None}
    return partial(bm25s.tokenize, token_pattern=f"{WORD.pattern[:-1]}{{2,}}", show_progress=False, **settings)


def _by_characters(texts: Sequence[str]) -> Tokenized:
    vocabulary: dict[str, int] = {}
    ids = [[vocabulary.setdefault(gram, len(vocabulary)) for gram in _grams(text)] for text in texts]
    return Tokenized(ids=ids, vocab=vocabulary)


def _grams(text: str) -> Iterator[str]:
    """Yield a text's pieces: pairs of characters in scripts without spaces, else fours that do not leave a word."""
    for run in (part for word in WORD.findall(folded(text)) for part in UNSPACED_RUN.split(word)):
        size = UNSPACED_GRAM if UNSPACED_RUN.match(run) else SPACED_GRAM
        yield from (run[start : start + size] for start in range(max(1, len(run) - size + 1)) if run)
