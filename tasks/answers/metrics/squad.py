"""token_f1 and em: SQuAD's F1 of common words and exact match (Rajpurkar et al. 2016, 4.1)."""

from __future__ import annotations

import re
import string
from collections import Counter

ARTICLES = re.compile(r"\b(a|an|the)\b")
WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


def token_f1(output: str, gold: str) -> float:
    """Return the F1 of the common words: lower case, no punctuation, no articles."""
    given, wanted = _words(output), _words(gold)
    if not given or not wanted:
        return float(given == wanted)
    common = sum((Counter(given) & Counter(wanted)).values())
    return 2 * common / (len(given) + len(wanted))


def em(output: str, gold: str) -> float:
    """Return 1 if the words are the same: lower case, no punctuation, no articles."""
    return float(_words(output) == _words(gold))


def _words(text: str) -> list[str]:
    return ARTICLES.sub(" ", text.lower().translate(WITHOUT_PUNCTUATION)).split()
