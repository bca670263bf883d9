"""exact: the whole answer is the reference answer."""

from __future__ import annotations

import unicodedata


def exact(output: str, gold: str) -> float:
    """Return 1 if both are equal after Unicode NFC normalisation, with any run of white space as one space; case counts
    (``ls -l`` is not ``ls -L``).
    """
    return float(spaced(output) == spaced(gold))


def spaced(text: str) -> str:
    """Return a text in NFC with any run of white space as one space."""
    return " ".join(unicodedata.normalize("NFC", text).split())
