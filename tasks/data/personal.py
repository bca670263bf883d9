"""Personal data and secrets in rows: found by their form and, where they have one, by their check digits. What was found is never repeated.

Only forms that can be told apart from ordinary numbers are looked for: a telephone number counts with its country code (+49 30 …), a card
number with its issuer's first digits and length and a right last digit, an IBAN with right check digits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product

import polars as pl

from tasks.data.sieve import FINDING

TEXTS = ("history", "prompt", "completion")
ALL_TEXTS = ("prompt", "completion", "given", "system")
RESERVED = re.compile(r"(?i)@(.*\.)?(example(\.(com|net|org))?|test|invalid|localhost)$")  # RFC 2606: nobody's
CARD = re.compile(r"4(\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|3[068]\d{12}|35\d{14}|6(011|4[4-9]\d|5\d\d)\d{12}")
SECRET = "|".join(
    (
        r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
        r"\bgh[pousr]_[A-Za-z0-9]{36,}",
        r"\bgithub_pat_[A-Za-z0-9_]{22,}",
        r"\bglpat-[A-Za-z0-9_-]{20,}",
        r"\bxox[abprs]-[A-Za-z0-9-]{10,}",
        r"\bsk-[A-Za-z0-9_-]{20,}",
        r"\b[sr]k_live_[A-Za-z0-9]{16,}",
        r"\bAIza[A-Za-z0-9_-]{35}",
        r"\bhf_[A-Za-z0-9]{30,}",
        r"\bnpm_[A-Za-z0-9]{36}\b",
        r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[\sA-Za-z0-9+/=:,-]*?-----END [A-Z ]*PRIVATE KEY-----)?",
        r"\b[A-Za-z][A-Za-z0-9+.-]*://[^\s/:@]+:[^\s/@]{3,}@",
    )
)


@dataclass(frozen=True)
class Kind:
    """One kind: what it is called, what stands in its place when masked, how it looks, and which part of such a text is one ("" for none)."""

    words: str
    mask: str
    hint: str  # for polars, which has no lookaround; a text without it holds none
    pattern: re.Pattern[str]
    part: Callable[[str], str] = str


def _address(text: str) -> str:
    return "" if RESERVED.search(text) else text


def _card(text: str) -> str:
    return _part(text, _is_card)


def _iban(text: str) -> str:
    return _part(text, _is_iban)


def _part(text: str, is_one: Callable[[str], bool]) -> str:
    """Return the longest run of groups between spaces and dashes that is one: other digits, or a word in capitals, may stand beside it."""
    starts = [0, *(match.end() for match in re.finditer("[ -]", text))]
    ends = [*(match.start() for match in re.finditer("[ -]", text)), len(text)]
    runs = sorted((text[start:end] for start in starts for end in ends if start < end), key=len, reverse=True)
    return next((run for run in runs if is_one(re.sub("[ -]", "", run))), "")


def _is_card(digits: str) -> bool:
    doubled = [int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(digits))]
    return bool(CARD.fullmatch(digits)) and sum(number - 9 if number > 9 else number for number in doubled) % 10 == 0


def _is_iban(bare: str) -> bool:
    return 15 <= len(bare) <= 34 and int("".join(str(int(sign, 36)) for sign in bare[4:] + bare[:4])) % 97 == 1


KINDS = {
    "secret": Kind("a key, token or password", "[SECRET]", SECRET, re.compile(SECRET)),
    "card_number": Kind("a card number", "[CARD]", r"[0-9](?:[ -]?[0-9]){12}", re.compile(r"(?<![0-9.,-])[0-9](?:[ -]?[0-9]){12,18}(?![0-9])"), _card),
    "iban": Kind(
        "an IBAN",
        "[IBAN]",
        r"[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2}",
        re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b", re.ASCII),
        _iban,
    ),
    "email_address": Kind("an e-mail address", "[EMAIL]", "@", re.compile(r"(?i)\b[a-z0-9._%+-]+@(?:[a-z0-9-]+\.)+[a-z]{2,}\b", re.ASCII), _address),
    "phone_number": Kind(
        "a telephone number", "[PHONE]", r"\+[1-9](?:[ ().\-/]{0,2}[0-9]){7}", re.compile(r"(?<![\w+])\+[1-9](?:[ ().\-/]{0,2}[0-9]){7,14}(?![0-9])")
    ),
}


def masked(text: str, kinds: Iterable[str] = tuple(KINDS)) -> str:
    """Return a text with what was found in it replaced by its kind's name in brackets."""
    for name in kinds:
        kind = KINDS[name]
        text = kind.pattern.sub(lambda match, kind=kind: _replaced(match.group(), kind), text)  # type: ignore[misc]
    return text


def _replaced(found: str, kind: Kind) -> str:
    part = kind.part(found)
    return found.replace(part, kind.mask, 1) if part else found


def personal_rows(rows: pl.DataFrame) -> pl.DataFrame:
    """Return a finding for each row and kind; needs row_id, history, prompt and completion; the last two may be null."""
    found = [(row, name, f"{KINDS[name].words} in the {column}") for name in KINDS for column in TEXTS for row in _holding(rows, name, column)]
    return pl.DataFrame(found, schema=FINDING, orient="row")


def _holding(rows: pl.DataFrame, name: str, column: str) -> Iterator[int]:
    kind = KINDS[name]
    texts = pl.col(column).list.join("\n") if column == "history" else pl.col(column)
    for row, text in rows.select("row_id", texts.alias(column)).filter(pl.col(column).str.contains(kind.hint)).iter_rows():
        if any(kind.part(match.group()) for match in kind.pattern.finditer(text)):
            yield row


def masked_rows(rows: pl.DataFrame, kinds: Iterable[str]) -> pl.DataFrame:
    """Return the rows with these kinds masked in every text that is learned or asked."""
    for name, column in product(kinds, ALL_TEXTS):
        which = rows[column].str.contains(KINDS[name].hint).fill_null(False)
        if which.any():
            changed = rows.filter(which)[column].map_elements(partial(masked, kinds=[name]), return_dtype=pl.String)
            rows = rows.with_columns(rows[column].clone().scatter(which.arg_true(), changed))
    return _masked_turns(rows, list(kinds))


def _masked_turns(rows: pl.DataFrame, kinds: list[str]) -> pl.DataFrame:
    hints = "|".join(f"(?:{KINDS[name].hint})" for name in kinds)
    if not kinds or not rows["history"].list.eval(pl.element().str.contains(hints)).list.any().any():
        return rows
    turns = [[masked(turn, kinds) if turn else turn for turn in history] for history in rows["history"]]
    return rows.with_columns(history=pl.Series(turns, dtype=pl.List(pl.String)))
