"""exact: the whole answer is the reference answer."""

from __future__ import annotations

from tasks.answers.scripts import folded


def exact(output: str, gold: str) -> float:
    """Return 1 if both are equal in their characters' plain forms, with any run of white space as one space; case
    counts (``ls -l`` is not ``ls -L``).
    """
    return float(spaced(output) == spaced(gold))


def spaced(text: str) -> str:
    """Return a text in its characters' plain forms, with any run of white space as one space."""
    return " ".join(folded(text).split())
