"""Personal data and secrets are found by form and check digits, masked when asked for, and never repeated."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import DatasetRefused, LibraryMissing
from schemas.sections.data import Personal
from tasks.data.checking import personal_libraries
from tasks.data.checking.personal import KINDS, masked, masked_rows, personal_rows
from tasks.data.text.redaction import EXCERPT, LOOKS, excerpts, redacted
from tests.data.conftest import Room, sound_rows

# Written in two parts, so that no scanner of secrets takes this file for a leak; none was ever valid.
TOKENS = [
    "AKIA" + "IOSFODNN7EXAMPLE",
    "ghp_" + "a1B2" * 9,
    "github_pat_" + "11ABCDEFG0abcdefghijklm",
    "xoxb-" + "123456789012-abcdef",
    "sk-" + "proj-abcdefghijklmnopqrstuv",
    "hf_" + "abcdefghij" * 3 + "abcd",
    "eyJhbGciOiJI" + "UzI1NiJ9.eyJzdWIiOiIxMjM0In0.dBjftJeZ4CVPmB92K27u",
    "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEow==\n-----END RSA PRIVATE KEY-----",
    "postgresql" + "://admin:hunter22@",
    "AccountKey=" + "a1B2" * 22,
    "MTAxMDEw" + "MTAxMDEwMTAxMDEw.abcdef." + "aB3" * 9,
    "glpat-" + "a1B2c3D4e5" * 2,
    "0123456789abcdef" * 2 + "-us12",
    "//registry.npmjs.org" + "/:_authToken=" + "1234abcd-" + "12ab-34cd-56ef-1234567890ab",
    "pypi-" + "AgEIcHlwaS5vcmc" + "a1B2" * 20,
    "SG." + "a1" * 11 + "." + "b" * 43,
    "https://hooks.slack.com" + "/services/T0001/B0001/abcdef",
    "sq0csp-" + "a" * 43,
    "rk_live_" + "a1B2" * 6,
    "123456789:" + "aB3_-" * 7,
    "SK" + "0123456789abcdef" * 2,
    "aws_secret_key = '" + "a1B2" * 10 + "'",
    "AIza" + "a1B2c3D" * 5,
]
FOUND = {
    "secret": TOKENS,
    "card_number": [
        "4111 1111 1111 1111",
        "4000 0000 0000 0002",
        "5555-5555-5555-4444",
        "378282246310005",
        "6011111111111117",
        "30569309025904",
    ],
    "iban": [
        "DE89 3704 0044 0532 0130 00",
        "DE89370400440532013000",
        "BE68 5390 0754 7034",
        "GB29 NWBK 6016 1331 9268 19",
    ],
    "email_address": ["jo.doe+spam@mail.firm.co.uk", "A_B@firm.de"],
    "phone_number": ["+49 30 901820", "+1 (415) 555-2671", "+442079460958"],
}
NOTHING = [
    "4111 1111 1111 1112",  # wrong last digit
    "1234 5678 9012 3452",  # right last digit, no issuer
    "411111111111111111111111",  # too long for a card
    "order 46400 of 2026-11-24, 12:30",
    "DE88 3704 0044 0532 0130 00",
    "SELECT A1 FROM B2",
    "someone@example.com",
    "me @ home",
    "3 + 4 = 7, +5 %",
    "+12345",
    "task-force-of-the-european-union, sk-8",
    "https://firm.de/a:b@c",
    "+99 123 456789",  # no such country
    "+1 200 000 0000",  # no such number in that one
    "XX89 3704 0044 0532 0130 00",  # no country that has IBANs
    "eyJhbGciOi.is-no-json",
    "the skull-and-crossbones-of-the-seven-seas",
]
CASES = [(kind, text) for kind, texts in FOUND.items() for text in texts]


def rows(*texts: str | None) -> pl.DataFrame:
    columns = {"row_id": range(1, len(texts) + 1), "prompt": texts, "completion": ["fine"] * len(texts)}
    empty = [pl.lit(None, pl.String).alias(name) for name in ("given", "system")]
    return pl.DataFrame(
        columns, schema={"row_id": pl.Int64, "prompt": pl.String, "completion": pl.String}
    ).with_columns(*empty, history=pl.lit([], dtype=pl.List(pl.String)))


def test_every_kind_may_be_set_in_a_config() -> None:
    assert set(KINDS) == set(get_args(Personal)) == set(FOUND)


@pytest.mark.parametrize(("kind", "text"), CASES, ids=[f"{kind}-{place}" for place, (kind, _) in enumerate(CASES)])
def test_it_is_found_and_masked_wherever_it_stands(kind: str, text: str) -> None:
    asked = f"Please write to {text} NOW, or call back."
    found = personal_rows(rows(None, asked, text))
    assert {(row, reason) for row, reason, _ in found.iter_rows()} == {(2, kind), (3, kind)}
    assert found["detail"].unique().to_list() == [f"{KINDS[kind].words} in the prompt"]
    assert masked_rows(rows(None, asked), [kind])["prompt"].to_list() == [None, asked.replace(text, KINDS[kind].mask)]
    assert personal_rows(masked_rows(rows(asked), [kind])).is_empty()


def test_what_stands_beside_a_number_is_left_as_it_was() -> None:
    assert masked("order 46 4111 1111 1111 1111 7") == "order 46 [CARD] 7"
    assert masked("4111 1111 1111 1111 12/27") == "[CARD] 12/27"
    assert masked("BE68 5390 0754 7034 BIC XYZ") == "[IBAN] BIC XYZ"


@pytest.mark.parametrize("text", NOTHING)
def test_ordinary_numbers_and_addresses_of_nobody_are_left_alone(text: str) -> None:
    assert personal_rows(rows(text)).is_empty()
    assert masked(text) == text


@given(before=st.text(max_size=15), case=st.sampled_from(CASES), after=st.text(max_size=15))
def test_a_hint_never_hides_what_the_pattern_would_find(before: str, case: tuple[str, str], after: str) -> None:
    text = f"{before} {case[1]} {after}"
    by_pattern = {
        name for name, kind in KINDS.items() if any(kind.part(match.group()) for match in kind.pattern.finditer(text))
    }
    assert set(personal_rows(rows(text))["reason"]) == by_pattern
    assert case[0] in by_pattern


@given(before=st.text(max_size=15), case=st.sampled_from(CASES), after=st.text(max_size=15))
def test_whatever_is_personal_is_covered_where_it_is_shown(before: str, case: tuple[str, str], after: str) -> None:
    text = f"{before} {case[1]} {after}"
    assert case[1] not in redacted(text)
    assert any(mask in redacted(text) for mask, _ in LOOKS.values())


def test_an_excerpt_shows_no_half_of_what_it_cuts_through() -> None:
    texts = pl.Series(
        "prompt", ["x" * (EXCERPT - 9) + " 4111 1111 1111 1111 and more" * 3, None, "short", "y" * 30_000]
    )
    cut, none, short, long = excerpts(texts).to_list()
    assert "4111" not in cut
    assert cut.endswith("[CARD] a…")
    assert (none, short, len(long)) == (None, "short", EXCERPT + 1)


def test_dates_and_numbers_are_shown_as_they_are() -> None:
    text = "On 2026-11-24 12:30 the order 46400 of 1 000 000 pieces went out, 3 + 4 = 7"
    assert redacted(text) == text


def test_a_private_key_without_its_end_is_covered_to_its_last_line() -> None:
    key = "-----BEGIN OPENSSH " + "PRIVATE KEY-----\n" + "b3BlbnNzaC1rZXktdjEAAAAA\n" * 3 + "and so on"
    assert redacted(key) == masked(key) == "[SECRET]\nand so on"


@pytest.fixture
def _without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(personal_libraries.LIBRARIES, "no_such_package", "no-such-library")


@pytest.mark.usefixtures("_without_the_extra")
def test_without_the_extra_a_check_that_is_asked_for_is_an_error_that_names_the_next_step(room: Room) -> None:
    room.write(sound_rows(60))
    with pytest.raises(
        LibraryMissing,
        match=r"data\.checks: iban cannot be searched for, because no-such-library is not installed.*\[personal\]",
    ):
        room.validate(group="group", checks={"iban": "note", "refusal": "note"})


@pytest.mark.usefixtures("_without_the_extra")
def test_without_the_extra_it_is_said_once_that_nothing_was_looked_for(room: Room) -> None:
    room.write([*sound_rows(60), {"prompt": "Write to jo@firm.de now", "completion": "done", "group": "x"}])
    room.validate(group="group")
    assert room.table("notes").is_empty()
    assert room.report()["personal_data"] == {"is_looked_for": False, "missing": ["no-such-library"]}
    assert (
        len(
            [
                line
                for line in room.listener.lines
                if "not searched for personal data and secrets: not installed: no-such-library" in line
            ]
        )
        == 1
    )


def test_a_row_with_a_secret_is_refused_and_the_secret_stands_nowhere(room: Room) -> None:
    room.write([*sound_rows(60), {"prompt": f"Use {TOKENS[0]} for it", "completion": "done", "group": "x"}])
    with pytest.raises(DatasetRefused) as refusal:
        room.validate(group="group", refuse_above=0.0)
    assert "secret 1 (row 61)" in str(refusal.value)
    room.validate(group="group", refuse_above=0.1)
    assert room.report()["taken_out"]["secret"]["rows"] == 1
    spoken = "\n".join([str(refusal.value), *room.listener.lines, *map(_text, room.workdir.out.iterdir())])
    assert TOKENS[0] not in spoken


def _text(path: Path) -> str:
    return pl.read_parquet(path).write_json() if path.suffix == ".parquet" else path.read_text(encoding="utf-8")


def test_a_masked_row_is_kept_listed_and_learned_without_what_was_masked(room: Room) -> None:
    room.write(
        [
            *sound_rows(60),
            {"prompt": "Write to jo@firm.de and to jim@firm.de", "completion": "I wrote to jo@firm.de.", "group": "x"},
        ]
    )
    room.validate(group="group", checks={"email_address": "mask"})
    kept = pl.concat([room.table("train"), room.table("held_out")]).filter(pl.col("row_id") == 61)
    assert kept.select("prompt", "completion").row(0) == ("Write to [EMAIL] and to [EMAIL]", "I wrote to [EMAIL].")
    assert room.table("notes").select("row_id", "reason", "action").rows() == [(61, "email_address", "mask")]
    assert room.table("refused").is_empty()


def test_two_requests_that_are_equal_when_masked_are_duplicates(room: Room) -> None:
    room.write(
        [
            *sound_rows(60),
            *({"prompt": f"Is {name}@firm.de a member?", "completion": "yes", "group": "x"} for name in ("jo", "jim")),
        ]
    )
    room.validate(group="group", checks={"email_address": "mask"})
    assert room.table("refused").select("row_id", "reason").rows() == [(62, "exact_duplicate")]


def test_an_address_is_noted_and_kept_unless_the_config_says_otherwise(room: Room) -> None:
    room.write([*sound_rows(60), {"prompt": "Write to jo@firm.de now", "completion": "done", "group": "x"}])
    room.validate(group="group")
    assert room.table("notes").select("row_id", "reason", "detail").rows() == [
        (61, "email_address", "an e-mail address in the prompt")
    ]


def test_only_personal_data_can_be_masked(room: Room) -> None:
    with pytest.raises(ValueError, match='checks: refusal cannot be "mask"; only secret, '):
        room.config(checks={"refusal": "mask", "secret": "mask"})
