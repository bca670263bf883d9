"""Words of a text in any script, and whether one text stands word for word in another."""

from __future__ import annotations

import re
import unicodedata

# Vowel signs and tone marks are no letters to `re`, but part of the word.
_MARKS = (
    r"\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0963\u0966-\u0dff\u0e31-\u0e4e\u0eb1-\u0ecd\u102b-\u103e"
    r"\u17b4-\u17d3"
)
# Scripts that put no spaces between words: Thai, Lao, Burmese, Khmer, kana, Han (with its extensions).
UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    r"\U00020000-\U0003ffff"
)
WORD = re.compile(rf"[\w{_MARKS}]+")
PIECE = re.compile(rf"[{UNSPACED}]|(?:(?![{UNSPACED}])[\w{_MARKS}])+")


def folded(text: str) -> str:
    """Return a text without differences of case, width and composition (NFKC)."""
    return unicodedata.normalize("NFKC", text).casefold()


def spaced(text: str) -> str:
    """Return the folded words of a text with one space around each, and no punctuation; in a script without spaces
    between words each character is a word. One text stands in another if the one's spaced form is in the other's.
    """
    return " ".join(["", *PIECE.findall(folded(text)), ""])
