"""Each kind of answer has one contract, and each breach of it has one reason."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import ConfigRefused, TuneworthyError
from schemas.sections.task import TaskConfig
from tasks.answers.contract import Check, contract_of

SCHEMA = {
    "type": "object",
    "properties": {"queue": {"enum": ["bench", "desk"]}, "day": {"type": "string", "format": "date"}},
    "required": ["queue"],
    "additionalProperties": False,
}


def check_of(answer: dict[str, Any], folder: Path) -> Check:
    return contract_of(TaskConfig.model_validate({"instruction": "x", "answer": answer}), folder)


def reason(check: Check, text: str) -> str | None:
    breach = check(text)
    return breach.reason if breach else None


@pytest.fixture
def json_check(tmp_path: Path) -> Check:
    (tmp_path / "answer.schema.json").write_text(json.dumps(SCHEMA))
    return check_of({"format": "json", "json_schema": "s.json"}, tmp_path)


@pytest.fixture
def sql_check(tmp_path: Path) -> Check:
    with sqlite3.connect(tmp_path / "answer.sqlite") as database:
        database.executescript(
            "create table city(name text, people int); insert into city values ('ames', 5), ('bonn', 7);"
        )
    database.close()
    return check_of({"format": "sql", "database": "c.sqlite"}, tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ab", None),
        ("  ab \n", None),
        ("", "empty_answer"),
        (" \n", "empty_answer"),
        ("abcdef", "answer_too_long"),
        ("a1", "answer_breaks_pattern"),
    ],
)
def test_a_text_keeps_its_length_and_its_pattern(tmp_path: Path, text: str, expected: str | None) -> None:
    assert reason(check_of({"format": "text", "max_characters": 5, "pattern": "[a-z]+"}, tmp_path), text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("yes", None),
        (" no\n", None),
        ("Yes", "answer_not_a_label"),
        ("yes.", "answer_not_a_label"),
        ("", "empty_answer"),
    ],
)
def test_a_choice_is_a_label_to_the_letter(tmp_path: Path, text: str, expected: str | None) -> None:
    assert reason(check_of({"format": "choice", "labels": ["yes", "no"]}, tmp_path), text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"queue": "bench"}', None),
        ('{"queue": "attic"}', "answer_breaks_schema"),
        ('{"queue": "bench", "day": "31st of May"}', "answer_breaks_schema"),
        ('```json\n{"queue": "bench"}\n```', "answer_not_json"),
        ('{"queue": "bench"} as asked', "answer_not_json"),
        ('{"queue": "desk", "queue": "bench"}', "answer_not_json"),
        ('{"queue": NaN}', "answer_not_json"),
        ('["bench"]', "answer_not_json"),
        ('{"queue": ' + "[" * 100_000, "answer_not_json"),
        ('{"queue": ' + "9" * 10_000 + "}", "answer_not_json"),
        (" ", "empty_answer"),
    ],
)
def test_a_json_answer_is_one_object_that_the_schema_accepts(
    json_check: Check, text: str, expected: str | None
) -> None:
    assert reason(json_check, text) == expected


def test_a_breach_quotes_nothing_of_the_answer(json_check: Check, sql_check: Check) -> None:
    for check, text in (
        (json_check, '{"queue": "anna@example.org"}'),
        (sql_check, "select anna from city"),
        (sql_check, 'select 1 "anna" anna'),
    ):
        breach = check(text)
        assert breach is not None
        assert "anna" not in breach.detail


@pytest.mark.parametrize("schema", ['{"type": "objekt"}', "[1]", "no json", '"text"', '{"properties": 3}'])
def test_a_schema_that_is_none_refuses_the_config(tmp_path: Path, schema: str) -> None:
    (tmp_path / "answer.schema.json").write_text(schema)
    with pytest.raises(ConfigRefused, match=r"s\.json is not a"):
        check_of({"format": "json", "json_schema": "s.json"}, tmp_path)


def test_a_schema_that_refers_elsewhere_fetches_nothing(tmp_path: Path) -> None:
    (tmp_path / "answer.schema.json").write_text('{"$ref": "https://example.org/other.json"}')
    with pytest.raises(ConfigRefused, match="nothing is downloaded"):
        check_of({"format": "json", "json_schema": "s.json"}, tmp_path)("{}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT name FROM city", None),
        ("  -- why not\n /* so */ with c as (select 1) select * from c;", None),
        ("select name from city where people > 100", "answer_gives_no_rows"),
        ("select mayor from city", "answer_does_not_run"),
        ("selec name from city", "answer_does_not_run"),
        ("select 1; select 2", "answer_does_not_run"),
        ("insert into city values ('c', 1)", "answer_does_not_run"),
        ("with x as (select 1) delete from city", "answer_does_not_run"),
        ("select 1; drop table city", "answer_does_not_run"),
        ("attach database '/etc/passwd' as p", "answer_does_not_run"),
        ("pragma table_info(city)", "answer_does_not_run"),
        ("select * from pragma_database_list", "answer_does_not_run"),
        ("select load_extension('x')", "answer_does_not_run"),
        ("select random()", "answer_does_not_run"),
        ("select zeroblob(1000000000)", "answer_does_not_run"),
        (
            "with recursive c(x) as (select 1 union all select x + 1 from c) select count(*) from c",
            "answer_does_not_run",
        ),
        ("with recursive c(x) as (select 1 union all select x + 1 from c) select x from c", "answer_does_not_run"),
        ("select '\x00'", "answer_does_not_run"),
        ("select '\ud800'", "answer_does_not_run"),
        ("```sql\nselect 1\n```", "answer_does_not_run"),
        ("\n", "empty_answer"),
    ],
)
def test_a_sql_answer_is_one_reading_query_that_gives_rows(sql_check: Check, text: str, expected: str | None) -> None:
    assert reason(sql_check, text) == expected


@pytest.mark.slow
def test_a_query_that_was_stopped_leaves_the_next_one_its_full_time(sql_check: Check) -> None:
    endless = "with recursive c(x) as (select 1 union all select x + 1 from c) select count(*) from c"
    assert [reason(sql_check, text) for text in (endless, "select 1", endless)] == [
        "answer_does_not_run",
        None,
        "answer_does_not_run",
    ]


@pytest.mark.parametrize("content", [b"", b"not a database at all, but long enough to be read as a page"])
def test_a_file_that_is_no_database_refuses_the_config(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "answer.sqlite").write_bytes(content)
    with pytest.raises(ConfigRefused, match=r"task\.answer\.database: c\.sqlite"):
        check_of({"format": "sql", "database": "c.sqlite"}, tmp_path)


def test_a_contract_without_its_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(TuneworthyError, match=r"answer\.sqlite is missing"):
        check_of({"format": "sql", "database": "c.sqlite"}, tmp_path)
