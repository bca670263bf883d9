"""Text normalisation: what has to be equal for two requests to count as the same."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from tasks.answers.scripts import folded

CHUNK = 100_000  # texts changed at once, so that no step makes a second copy of all texts

NON_ASCII = r"[^\x00-\x7F]"
# Raised and lowered digits, fractions, digits in circles: their form tells requests apart, "5²" from "52".
_TELLING = r"\x{B2}\x{B3}\x{B9}\x{BC}-\x{BE}\x{2070}-\x{209C}\x{2150}-\x{215F}\x{2460}-\x{24FF}\x{2776}-\x{2793}"
TELLING_FORM = f"[{_TELLING}]"
PLAIN_FORM = rf"^[^{_TELLING}]*[^\x00-\x7F{_TELLING}][^{_TELLING}]*$"
UNEVEN = r"\s{2,}|[^\S ]|^\s|\s$"
SENTENCE = r"[.,;:!?…]+"
QUOTES = "[\"'`´‘’“”„]+"
JOINT = r"(\p{L})(?:[.,;:!?…'’/–—-]+|\s[-–—]+\s)(\p{L})"
# What is dropped or becomes a space, in this order; joints twice, as those of "a-b-c" share a letter. Only punctuation
# that ends, frames or joins words: "top-up?" is "top up", but "3 - 4" is not "3 + 4", "x != y" not "x = y", "£1" not
# "$1".
MARKS = (
    (rf"{SENTENCE}(\s|$)", "$1"),
    (rf"{QUOTES}(\s|$)", "$1"),
    (rf"{SENTENCE}(\s|$)", "$1"),
    (rf"(^|\s)(?:{QUOTES}|[¿¡]+)", "$1"),
    (JOINT, "$1 $2"),
    (JOINT, "$1 $2"),
)

Change = Callable[[pl.Series], pl.Series]


def normalised(texts: pl.Series) -> pl.Series:
    """Return texts in lower case with single spaces and no punctuation around words; one of marks alone keeps them."""
    return _in_chunks(texts, _spoken)


def _spoken(texts: pl.Series) -> pl.Series:
    plain = _where(texts, TELLING_FORM, lambda some: some.map_elements(folded, return_dtype=pl.String))
    plain = _where(plain, PLAIN_FORM, lambda some: some.str.normalize("NFKC")).str.to_lowercase()
    bare = plain
    for mark, instead in MARKS:
        bare = _replaced(bare, mark, instead)
    bare = single_spaced(bare)
    return bare.zip_with(bare.is_null() | (bare != ""), single_spaced(plain)) if (bare == "").any() else bare


def single_spaced(texts: pl.Series) -> pl.Series:
    """Return each text stripped, with every run of white space as one space."""
    return _where(texts, UNEVEN, lambda some: some.str.replace_all(r"\s+", " ").str.strip_chars())


def without_punctuation(texts: pl.Series) -> pl.Series:
    """Return normalised texts without any punctuation; a text with a digit or without a letter is left as it is, as its
    marks may carry meaning ("3 - 4").
    """
    return _in_chunks(texts, lambda some: _where(some, r"^\P{N}*\p{L}\P{N}*$", _without_marks))


def _without_marks(texts: pl.Series) -> pl.Series:
    return single_spaced(texts.str.replace_all(r"[^\p{L}\p{M}\s]+", " "))


def _in_chunks(texts: pl.Series, change: Change) -> pl.Series:
    if len(texts) <= CHUNK:
        return change(texts)
    return pl.concat([change(texts[start : start + CHUNK]) for start in range(0, len(texts), CHUNK)])


def _where(texts: pl.Series, pattern: str, change: Change) -> pl.Series:
    """Change only the texts that match a pattern: searching is much cheaper than replacing."""
    which = texts.str.contains(pattern).fill_null(False)
    if not which.any():
        return texts
    return change(texts) if which.all() else texts.clone().scatter(which.arg_true(), change(texts.filter(which)))


def _replaced(texts: pl.Series, pattern: str, instead: str) -> pl.Series:
    return _where(texts, pattern, lambda some: some.str.replace_all(pattern, instead))
