"""choice: the label is the right one. Its mean is the accuracy; macro-F1 and confusion are of all answers together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tasks.answers.metrics.exact import exact, spaced

OTHER = "(no label)"

choice = exact


def macro_f1(pairs: Sequence[tuple[str, str]]) -> float:
    """Return the unweighted mean of every label's F1, over the labels that are a reference or an answer.

    Args:
        pairs: answer and reference label of every row; an answer that is no label is one more wrong class without F1.
    """
    right = Counter(gold for given, gold in pairs if given == gold)
    given, wanted = Counter(one for one, _ in pairs), Counter(gold for _, gold in pairs)
    labels = (given.keys() | wanted.keys()) - {OTHER}
    return sum(2 * right[label] / (given[label] + wanted[label]) for label in labels) / max(1, len(labels))


def confusions(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str, int]]:
    """Return (reference, answer, rows) of every wrong pair, the most frequent first."""
    found = Counter((gold, given) for given, gold in pairs if given != gold)
    return [(gold, given, rows) for (gold, given), rows in sorted(found.items(), key=lambda one: (-one[1], one[0]))]


def label_of(output: str, labels: Sequence[str]) -> str:
    """Return the label that an answer is, else OTHER."""
    named = {spaced(label): label for label in labels}
    return named.get(spaced(output), OTHER)
