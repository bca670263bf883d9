"""Redaction of what looks like personal data or a secret wherever a row is shown: in reports, samples and tables. Needs
no library.

The patterns are wide on purpose: a number that only looks like a card number is redacted too, as nobody misses it in a
sample. tasks/data/checking/personal.py decides what really is one. Each pattern means the same to `re` and to polars,
so that it also serves as a quick filter of a column.
"""

from __future__ import annotations

import re

import polars as pl

FEWEST_DIGITS = 13  # of a card number
EXCERPT = 200  # characters shown of a text of a row that was taken out
JUDGED = 20_000  # characters examined for an excerpt: what begins within the excerpt ends within them
SECRET = "|".join(
    (
        r"(?:A3T[A-Z0-9]|ABIA|ACCA|AKIA|ASIA)[0-9A-Z]{16}",
        r"AccountKey=[A-Za-z0-9+/=]{40,}",
        r"gh[pousr]_[A-Za-z0-9_]{36,}",
        r"github_pat_[A-Za-z0-9_]{22,}",
        r"(?:gl(?:pat|dt|ft|soat|rt|cbt|imt|ptt|agent|oas)-|GR1348941)[A-Za-z0-9_-]{20,}",
        r"xox[abepors]-[A-Za-z0-9-]{10,}",
        r"(?i:https://hooks)\.slack\.com/services/[A-Za-z0-9_/]+",
        r"\bsk-[A-Za-z0-9_-]{20,}",
        r"[sr]k_live_[A-Za-z0-9]{16,}",
        r"AIza[A-Za-z0-9_-]{35,}",
        r"\bhf_[A-Za-z0-9]{30,}",
        r"\bnpm_[A-Za-z0-9]{36}",
        r"//[^\s]+/:_authToken=[ ]*[^\s]+",
        r"eyJ[A-Za-z0-9_=-]+\.[A-Za-z0-9_=-]+(?:\.[A-Za-z0-9_.+/=-]*)?",
        r"pypi-[A-Za-z0-9_-]{70,}",
        r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}",
        r"sq0csp-[0-9A-Za-z\\_-]{43}",
        r"[0-9a-z]{32}-us[0-9]{1,2}",
        r"[0-9]{8,10}:[0-9A-Za-z_-]{35}",
        r"\b(?:AC|SK)[a-z0-9]{32}",
        r"[MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27}",
        r"(?i:aws.{0,20}?(?:key|pwd|pw|password|pass|token).{0,20}?['\"][0-9a-z/+]{40}['\"])",
        r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----"
        r"(?:[\sA-Za-z0-9+/=:,.()-]*?-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|(?:\s*[A-Za-z0-9+/=]{16,})*)",
        r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/:@]+:[^\s/@]{3,}@",
    )
)
LOOKS = {
    "secret": ("[SECRET]", SECRET),
    "iban": ("[IBAN]", r"[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?"),
    "card_number": ("[CARD]", r"[0-9][0-9 -]{11,}[0-9]"),
    "email_address": ("[EMAIL]", r"[A-Za-z0-9._%+-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}"),
    "phone_number": ("[PHONE]", r"\+[1-9](?:[ ().\-/]{0,2}[0-9]){7,14}"),
}
_COMPILED = [(mask, re.compile(look)) for mask, look in LOOKS.values()]
_ANY = "|".join(f"(?:{look})" for _, look in LOOKS.values())


def redacted(text: str) -> str:
    """Return a text with everything that looks like personal data or a secret replaced by its kind in brackets."""
    for mask, pattern in _COMPILED:
        text = pattern.sub(lambda match, mask=mask: match.group() if _is_short(match.group()) else mask, text)  # type: ignore[misc]
    return text


def _is_short(run: str) -> bool:
    """Tell whether a run of digits, spaces and dashes is too short for a card number, such as a date with a time."""
    return not run.strip("0123456789 -") and sum(sign.isdigit() for sign in run) < FEWEST_DIGITS


def excerpts(texts: pl.Series, longest: int = EXCERPT) -> pl.Series:
    """Return the beginning of each text, redacted before it is cut, so that no part of a number stays readable."""
    heads = texts.str.head(JUDGED)
    suspect = heads.str.contains(_ANY).fill_null(False)
    if suspect.any():
        heads = heads.scatter(suspect.arg_true(), heads.filter(suspect).map_elements(redacted, return_dtype=pl.String))
    is_longer = (heads.str.len_chars() > longest) | (texts.str.len_chars() > JUDGED)
    return (
        heads.to_frame("text")
        .select(pl.when(is_longer).then(pl.col("text").str.head(longest) + "…").otherwise("text").alias(texts.name))
        .to_series()
    )
