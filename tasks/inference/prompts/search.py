"""Retrieval: BM25 over passages or train rows, by word stems where the language has a stemmer."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence

import bm25s
import bm25s.stopwords
import numpy
import Stemmer

from tasks.inference.prompts.words import UNSPACED, WORD, folded

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


class Search:
    """Finds the texts that are nearest to a query by BM25."""

    def __init__(self, texts: Sequence[str], language: str = "en") -> None:
        """Index the texts.

        Args:
            texts: what is searched.
            language: code of a language with a stemmer, "none" for words as they are, or "characters" for pieces of a
                few characters, which need no knowledge of the language.
        """
        self._tokens = _tokeniser(language)
        self._index = bm25s.BM25()
        tokens = self._tokens(texts)
        self._is_empty = not any(tokens)
        if not self._is_empty:
            self._index.index(tokens, show_progress=False)
            self._known = set(self._index.vocab_dict)

    def nearest(self, query: str, count: int, left_out: Sequence[int] = ()) -> list[int]:
        """Return the places of up to `count` texts that share a word with the query, the nearest one last; ties go to
        the earlier text. Those in `left_out` are never found.
        """
        words = [] if self._is_empty else [word for word in self._tokens([query])[0] if word in self._known]
        if not words:
            return []
        scores = self._index.get_scores(words)
        scores[list(left_out)] = 0
        near = numpy.flatnonzero(scores > 0)
        if len(near) > count:  # sorting all of a million takes longer than finding them
            near = near[scores[near] >= numpy.partition(scores[near], -count)[-count]]
        best = near[numpy.argsort(-scores[near], kind="stable")][:count]
        return [int(place) for place in reversed(best)]


def _tokeniser(language: str) -> Callable[[Sequence[str]], list[list[str]]]:
    if language == CHARACTERS:
        return lambda texts: [list(_grams(text)) for text in texts]
    name = STEMMERS.get(language)
    stopwords = getattr(bm25s.stopwords, f"STOPWORDS_{'EN' if language == 'en' else (name or '').upper()}", ())
    settings = {"stopwords": list(stopwords), "stemmer": Stemmer.Stemmer(name) if name else None}
    return lambda texts: list(
        bm25s.tokenize(
            list(texts), token_pattern=f"{WORD.pattern[:-1]}{{2,}}", return_ids=False, show_progress=False, **settings
        )
    )


def _grams(text: str) -> Iterator[str]:
    """Yield a text's pieces: pairs of characters in scripts without spaces, else fours that do not leave a word."""
    for run in (part for word in WORD.findall(folded(text)) for part in UNSPACED_RUN.split(word)):
        size = UNSPACED_GRAM if UNSPACED_RUN.match(run) else SPACED_GRAM
        yield from (run[start : start + size] for start in range(max(1, len(run) - size + 1)) if run)
