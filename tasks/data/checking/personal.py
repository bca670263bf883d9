"""Personal data and secrets in rows: found by pattern, confirmed by libraries that know numbering plans, check digits
and tokens.

Only what can be told apart from ordinary numbers is searched for: a telephone number with its country code (+49 30 …)
that is valid in that country, a card number with an issuer's prefix and a correct check digit, an IBAN in its country's
format. What was found is never repeated in a message.
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product

import polars as pl

from tasks.data.checking.personal_libraries import missing_libraries
from tasks.data.checking.sieve import FINDING
from tasks.data.text.redaction import LOOKS

TEXTS = ("history", "prompt", "completion", "trace", "rejected")
ALL_TEXTS = ("prompt", "completion", "trace", "rejected", "given", "system")
MOST_GROUPS = 9  # of an IBAN of 34 characters
RESERVED = re.compile(r"(?i)@(.*\.)?(example(\.(com|net|org))?|test|invalid|localhost)$")  # RFC 2606: reserved
CARD = re.compile(
    r"4(\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|3[068]\d{12}|35\d{14}|6(011|4[4-9]\d|5\d\d)\d{12}"
)
# Tokens that detect-secrets does not know, or knows only in an older form.
SURE = re.compile(
    r"gh[pousr]_[A-Za-z0-9]{36,}|github_pat_|xox[abepors]-[A-Za-z0-9-]{10,}|sk-[A-Za-z0-9_-]{20,}|[sr]k_live_|AIza[A-Za-z0-9_-]{35}|hf_[A-Za-z0-9]{30,}|"
    r"npm_[A-Za-z0-9]{36}|-----BEGIN |://[^\s/:@]+:[^\s/@]{3,}@"
)
# Those of its detectors that recognise a token by its form; words such as "password" and high entropy are ordinary in
# training rows.
DETECTORS = {
    "aws": "AWSKeyDetector",
    "azure_storage_key": "AzureStorageKeyDetector",
    "discord": "DiscordBotTokenDetector",
    "github_token": "GitHubTokenDetector",
    "gitlab_token": "GitLabTokenDetector",
    "mailchimp": "MailchimpDetector",
    "npm": "NpmDetector",
    "openai": "OpenAIDetector",
    "pypi_token": "PypiTokenDetector",
    "sendgrid": "SendGridDetector",
    "slack": "SlackDetector",
    "square_oauth": "SquareOAuthDetector",
    "stripe": "StripeDetector",
    "telegram_token": "TelegramBotTokenDetector",
    "twilio": "TwilioKeyDetector",
}


@dataclass(frozen=True)
class Kind:
    """One kind of personal data: name, mask, pattern, and what returns the confirmed part of a match ("": none)."""

    words: str
    mask: str
    look: str  # for polars, which has no lookaround; a text without it contains none
    pattern: re.Pattern[str]
    part: Callable[[str], str]


def _secret(text: str) -> str:
    is_one = SURE.search(text) or (
        _is_web_token(text) if text.startswith("eyJ") else any(known.search(text) for known in _known_tokens())
    )
    return text if is_one else ""


@functools.cache
def _known_tokens() -> tuple[re.Pattern[str], ...]:
    modules = {name: importlib.import_module(f"detect_secrets.plugins.{name}") for name in DETECTORS}
    return tuple(
        pattern for name, detector in DETECTORS.items() for pattern in getattr(modules[name], detector).denylist
    )


def _is_web_token(text: str) -> bool:
    from detect_secrets.plugins.jwt import JwtTokenDetector

    return bool(JwtTokenDetector.is_formally_valid(text))


def _address(text: str) -> str:
    return "" if RESERVED.search(text) else text


def _phone(text: str) -> str:
    """Return the longest beginning that is a valid number: other digits may follow it."""
    ends = [match.end() for match in re.finditer("[0-9]+", text)]
    return next((text[:end] for end in reversed(ends) if _is_phone(text[:end])), "")


def _is_phone(text: str) -> bool:
    import phonenumbers

    try:
        return bool(phonenumbers.is_valid_number(phonenumbers.parse(text)))
    except phonenumbers.NumberParseException:
        return False


def _card(text: str) -> str:
    from stdnum import luhn

    return _part(text, lambda digits: bool(CARD.fullmatch(digits)) and luhn.is_valid(digits))


def _iban(text: str) -> str:
    from stdnum import iban

    # Without check_country, which would also look up the bank in a list as old as the library.
    return _part(text, lambda bare: bool(iban.is_valid(bare, check_country=False)))


def _part(text: str, is_one: Callable[[str], bool]) -> str:
    """Return the longest run of groups between spaces and dashes that is one, whatever stands next to it."""
    groups = [match.span() for match in re.finditer("[^ -]+", text)]
    runs = (
        text[start : groups[last][1]]
        for first, (start, _) in enumerate(groups)
        for last in range(first, min(first + MOST_GROUPS, len(groups)))
    )
    return max((run for run in runs if is_one(re.sub("[ -]", "", run))), key=len, default="")


def _kind(name: str, words: str, part: Callable[[str], str], pattern: str = "") -> Kind:
    mask, look = LOOKS[name]
    return Kind(words, mask, look, re.compile(pattern or look), part)


KINDS = {
    "secret": _kind("secret", "a key, token or password", _secret),
    "iban": _kind("iban", "an IBAN", _iban, rf"\b{LOOKS['iban'][1]}\b"),
    "card_number": _kind("card_number", "a card number", _card, rf"(?<![0-9.,-]){LOOKS['card_number'][1]}(?![0-9])"),
    "email_address": _kind(
        "email_address", "an e-mail address", _address, rf"(?<![A-Za-z0-9._%+-]){LOOKS['email_address'][1]}\b"
    ),
    "phone_number": _kind(
        "phone_number", "a telephone number", _phone, rf"(?<![\w+]){LOOKS['phone_number'][1]}(?![0-9])"
    ),
}


def masked(text: str, kinds: Iterable[str] = tuple(KINDS)) -> str:
    """Return a text with confirmed personal data replaced by its kind in brackets."""
    for name in kinds:
        kind = KINDS[name]
        text = kind.pattern.sub(lambda match, kind=kind: _replaced(match.group(), kind), text)  # type: ignore[misc]
    return text


def _replaced(found: str, kind: Kind) -> str:
    part = kind.part(found)
    return found.replace(part, kind.mask, 1) if part else found


def personal_rows(rows: pl.DataFrame) -> pl.DataFrame:
    """Return a finding for each row and kind, none without the libraries; prompt and completion may be null."""
    found: list[tuple[int, str, str]] = []
    texts = [column for column in TEXTS if column in rows.columns]
    for name, column in product([] if missing_libraries() else KINDS, texts):
        detail = f"{KINDS[name].words} in the {column}"
        found += [(row, name, detail) for row in _holding(rows, name, column)]
    return pl.DataFrame(found, schema=FINDING, orient="row")


def _holding(rows: pl.DataFrame, name: str, column: str) -> Iterator[int]:
    kind = KINDS[name]
    texts = pl.col(column).list.join("\n") if column == "history" else pl.col(column)
    for row, text in (
        rows.select("row_id", texts.alias(column)).filter(pl.col(column).str.contains(kind.look)).iter_rows()
    ):
        if any(kind.part(match.group()) for match in kind.pattern.finditer(text)):
            yield row


def masked_rows(rows: pl.DataFrame, kinds: Iterable[str]) -> pl.DataFrame:
    """Return the rows with these kinds masked in every text."""
    for name, column in product(kinds, [column for column in ALL_TEXTS if column in rows.columns]):
        which = rows[column].str.contains(KINDS[name].look).fill_null(False)
        if which.any():
            changed = rows.filter(which)[column].map_elements(partial(masked, kinds=[name]), return_dtype=pl.String)
            rows = rows.with_columns(rows[column].clone().scatter(which.arg_true(), changed))
    return _masked_turns(rows, list(kinds))


def _masked_turns(rows: pl.DataFrame, kinds: list[str]) -> pl.DataFrame:
    hints = "|".join(f"(?:{KINDS[name].look})" for name in kinds)
    if not kinds or not rows["history"].list.eval(pl.element().str.contains(hints)).list.any().any():
        return rows

    def masked_history(history: Iterable[str | None]) -> list[str | None]:
        return [masked(turn, kinds) if turn else turn for turn in history]

    turns = [masked_history(history) for history in rows["history"]]
    return rows.with_columns(history=pl.Series(turns, dtype=pl.List(pl.String)))
