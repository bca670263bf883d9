"""Text in every script: forms of a character that mean the same, and words where no spaces part them."""

from __future__ import annotations

import re
import unicodedata

# Decompositions that change how a character looks and never what it says: full and half width, Arabic's joined forms,
# ligatures, spaces that do not break. "x²" is not "x2", "½" not "12", "①" not "1".
SAME = ("<wide>", "<narrow>", "<initial>", "<medial>", "<final>", "<isolated>", "<noBreak>", "<compat>", "<vertical>")
# Thai to Burmese, Khmer, kana, and the Chinese characters: each character counts as a word.
UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")  # fmt: skip # noqa: E501
ARTICLES = re.compile(r"\b(a|an|the)\b")


def folded(text: str) -> str:
    """Return a text composed (NFC), each character in its plain form where that says the same (NFKC)."""
    if text.isascii():
        return text
    plain = (
        unicodedata.normalize("NFKC", letter) if unicodedata.decomposition(letter).startswith(SAME) else letter
        for letter in text
    )
    return unicodedata.normalize("NFC", "".join(plain))


class _WithoutMarks(dict[int, str | None]):
    """Maps every mark of punctuation, and ASCII's other signs, to nothing."""

    def __missing__(self, code: int) -> str | None:
        letter = chr(code)
        is_mark = unicodedata.category(letter).startswith("P") or letter in "$+<=>^`|~"
        self[code] = None if is_mark else letter
        return self[code]


_WITHOUT_MARKS = _WithoutMarks()


def words_of(text: str) -> list[str]:
    """Return a text's words as SQuAD counts them: lower case, no punctuation or articles, or else characters."""
    bare = folded(text).lower().translate(_WITHOUT_MARKS)
    return ARTICLES.sub(" ", UNSPACED.sub(r" \g<0> ", bare)).split()
