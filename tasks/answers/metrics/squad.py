"""token_f1 and em: SQuAD's F1 of common words and exact match (Rajpurkar et al. 2016, 4.1)."""

from __future__ import annotations

from collections import Counter

from tasks.answers.scripts import words_of


def token_f1(output: str, gold: str) -> float:
    """Return the F1 of the common words: lower case, no punctuation, no articles; in scripts without spaces each
    character is a word.
    """
    given, wanted = words_of(output), words_of(gold)
    if not given or not wanted:
        return float(given == wanted)
    common = sum((Counter(given) & Counter(wanted)).values())
    return 2 * common / (len(given) + len(wanted))


def em(output: str, gold: str) -> float:
    """Return 1 if the words are the same: lower case, no punctuation, no articles."""
    return float(words_of(output) == words_of(gold))
