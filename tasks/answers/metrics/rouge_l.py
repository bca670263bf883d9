"""rouge_l: F1 of the longest common subsequence of words (Lin 2004): lower case, any script, no stemming."""

from __future__ import annotations

import re


def rouge_l(output: str, gold: str) -> float:
    """Return the F1 of the words that both texts have in the same order; 0 where one has none."""
    given, wanted = (re.findall(r"[^\W_]+", text.lower()) for text in (output, gold))
    if not given or not wanted:
        return 0.0
    return 2 * _longest_common(given, wanted) / (len(given) + len(wanted))


def _longest_common(one: list[str], other: list[str]) -> int:
    """Return the length of the longest common subsequence."""
    row = [0] * (len(other) + 1)
    for word in one:
        before = row
        row = [0]
        for place, wanted in enumerate(other):
            row.append(before[place] + 1 if word == wanted else max(before[place + 1], row[place]))
    return row[-1]
