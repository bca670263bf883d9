"""A score says whether the content is right; validity says whether it can be used as it stands."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.sections.task import TaskConfig
from tasks.answers.metrics.exact import exact
from tasks.answers.metrics.json_fields import json_fields
from tasks.answers.scoring import Scored, Scorer

PEOPLE = (
    "create table t(name text, size int, share real); insert into t values ('a', 1, 0.1), ('b', 2, 0.2), ('b', 2, "
    "0.2), ('c', 3, 0.3);"
)


def scorer(folder: Path, metric: str, answer: dict[str, Any], reading: str = "strict", **more: Any) -> Scorer:
    task = {"instruction": "x", "answer": answer, "metric": metric, "reading": reading} | more
    return Scorer.for_task(TaskConfig.model_validate(task), folder)


@pytest.fixture
def sql(tmp_path: Path) -> Iterator[Scorer]:
    database = sqlite3.connect(tmp_path / "answer.sqlite")
    database.executescript(PEOPLE)
    database.close()
    yield scorer(tmp_path, "sql_execution", {"format": "sql", "database": "t.sqlite"})


@pytest.mark.parametrize(
    ("output", "gold", "score"),
    [
        ("select name from t", "select name from t order by 1 desc", 0),
        ("select name from t order by 1 desc", "select name from t order by 1 desc", 1),
        ("select name from t order by 1 desc", "select name from t", 1),
        ("select distinct name from t", "select name from t", 0),
        ("select name from t where size = 1", "select 'a'", 1),
        ("select size * 1.0 from t", "select size from t", 1),
        ("select 0.1 + 0.2", "select 0.3", 1),
        ("select name, size from t", "select size, name from t", 0),
        ("select name from t where size > 9", "select name from t where size > 9", 0),
        ("select nothing from t", "select name from t", 0),
        ("", "select name from t", 0),
        ("select name from t", "select name from (select name from t order by size)", 1),
        ("select name from t where name <> ' order by '", "select name from t -- order by name", 1),
    ],
)
def test_queries_are_equal_when_their_rows_are(sql: Scorer, output: str, gold: str, score: float) -> None:
    assert sql.score(output, gold).score == score


@pytest.mark.parametrize(
    ("output", "gold", "score"),
    [
        ("select name from d order by size", "select name from d order by size, name desc", 0),
        ("select name from d order by size, name desc", "select name from d order by size", 1),
        ("select name from d order by size, name", "select name from d order by size", 1),
        ("select name from d order by size desc", "select name from d order by size", 0),
        ("select name from d order by size, name desc limit 1", "select name from d order by size limit 1", 1),
        ("select 'z'", "select name from d order by size limit 1", 0),
        ("select 'c' union all select 'a'", "select name from d order by size desc limit 2", 1),
        ("select 'c' union all select 'b'", "select name from d order by size desc limit 2", 1),
        ("select 'a' union all select 'c'", "select name from d order by size desc limit 2", 0),
        ("select name, size from d order by size, name desc", "select name, size from d order by 2", 1),
        ("select name, size from d order by size desc", "select name, size as s from d order by s DESC nulls last", 1),
        (
            "select max(name) from d group by size order by 1",
            "select max(name) from d group by size order by count(*)",
            0,
        ),
        ("select max(name) from d group by size order by 1", "select max(name) from d group by size order by size", 1),
        ("select distinct size from d order by 1", "select distinct size from d order by max(size, 3)", 1),
        ("select name from d order by name", "select name from d order by size limit 2 offset 1", 0),
        ("select 'b' union select 'a' order by 1", "select 'b' union select 'a' order by 1", 1),
        ("select 'b' union select 'a' order by 1 desc", "select 'b' union select 'a' order by 1", 0),
        ("select name from d order by size;", "select name from d order by lower(',' || size);", 1),
    ],
)
def test_rows_of_equal_ordering_keys_stand_in_any_order(tmp_path: Path, output: str, gold: str, score: float) -> None:
    database = sqlite3.connect(tmp_path / "answer.sqlite")
    database.executescript("create table d(name text, size int); insert into d values ('a', 1), ('b', 1), ('c', 2);")
    database.close()
    task = scorer(tmp_path, "sql_execution", {"format": "sql", "database": "t.sqlite"})
    assert task.score(output, gold).score == score


def test_columns_count_in_another_order_where_the_config_says_so(sql: Scorer, tmp_path: Path) -> None:
    task = scorer(
        tmp_path, "sql_execution", {"format": "sql", "database": "t.sqlite"}, scoring={"columns": "any_order"}
    )
    pair = "select size, name from t order by size", "select name, size from t order by size"
    assert (sql.score(*pair).score, task.score(*pair).score) == (0, 1)
    assert task.score("select size, size from t", pair[1]).score == 0
    assert task.score("select 1, 2", "select 2, 1").score == 1
    assert task.score("select size, name from t order by size desc", pair[1]).score == 0


FORM_ONLY, RIGHT, WRONG = Scored(0, False, 0, 1), Scored(1, True, 1, 1), Scored(0, False, 0, 0)


@pytest.mark.parametrize(
    ("output", "scored"),
    [
        ("select 'a'", RIGHT),
        ("```sql\nselect 'a'\n```", FORM_ONLY),
        ("Here you are:\n```sql\nselect 'a'; -- as asked\n```\nAnything else?", FORM_ONLY),
        ("With pleasure: with x as (select 'a' as n) select n from x;\nDone.", FORM_ONLY),
        ("I select nothing", WRONG),
        ("select name from t where size > 9", WRONG),
    ],
)
def test_only_a_lenient_reader_finds_the_query_among_other_words(sql: Scorer, output: str, scored: Scored) -> None:
    assert sql.score(output, "select 'a'") == scored


@pytest.mark.parametrize(
    ("output", "scored"),
    [
        ("billing", RIGHT),
        ("Billing.", FORM_ONLY),
        ('"billing"', FORM_ONLY),
        ("The label is: BILLING, not lost card", FORM_ONLY),
        ("lost card", Scored(0, True, 0, 0)),
        ("prebilling", WRONG),
        ("", WRONG),
    ],
)
def test_only_a_lenient_reader_finds_the_label_among_other_words(tmp_path: Path, output: str, scored: Scored) -> None:
    labels = {"format": "choice", "labels": ["billing", "card", "lost card"]}
    assert scorer(tmp_path, "exact", labels).score(output, "billing") == scored


def test_the_first_label_is_the_longest_one_at_its_place(tmp_path: Path) -> None:
    labels = {"format": "choice", "labels": ["card", "lost card", "lost card abroad"]}
    read = scorer(tmp_path, "exact", labels).score
    assert read("Lost  card abroad!", "lost card abroad").lenient == 1
    assert read("Lost card, abroad", "lost card").lenient == 1


@pytest.mark.parametrize(
    ("output", "scored"),
    [
        ('{"a": 1}', RIGHT),
        ('Here is the JSON: {"a": 1}', FORM_ONLY),
        ('```json\n{"a": 1}\n```\nLet me know {if} you need more.', FORM_ONLY),
        ('{curly} words, then {"a": 1} and {"a": 2}', FORM_ONLY),
        ('Sure: {"a": 1', WRONG),
        ("{" * 100_000, WRONG),
        ('{"a":' * 100_000, WRONG),
    ],
)
def test_only_a_lenient_reader_finds_the_object_among_other_words(tmp_path: Path, output: str, scored: Scored) -> None:
    (tmp_path / "answer.schema.json").write_text('{"type": "object"}')
    task = scorer(tmp_path, "json_fields", {"format": "json", "json_schema": "s.json"})
    assert task.score(output, '{"a": 1}') == scored


def test_the_config_names_the_reading_that_the_score_and_the_contract_are_about(tmp_path: Path) -> None:
    answer = {"format": "text", "pattern": "[A-Z]{3}"}
    assert scorer(tmp_path, "exact", answer).score("It is LIS.", "LIS") == FORM_ONLY
    assert scorer(tmp_path, "exact", answer, "lenient").score("It is LIS.", "LIS") == Scored(1, True, 0, 1)
    assert scorer(tmp_path, "exact", answer, "lenient").score("LIS", "LIS") == RIGHT
    assert scorer(tmp_path, "exact", answer, "lenient").score("in Lisbon", "LIS") == WRONG


@pytest.mark.slow
@given(st.text(), st.text(), st.sampled_from(["exact", "token_f1"]))
def test_the_lenient_score_is_never_below_the_strict_one(output: str, gold: str, metric: str) -> None:
    found = scorer(Path(), metric, {"format": "text"}).score(output, gold)
    assert 0 <= found.strict <= found.lenient <= 1


@pytest.mark.parametrize(
    ("output", "gold", "score"),
    [
        ('{"a": 1, "b": "x"}', '{"b": "x", "a": 1.0}', 1),
        ('{"a": 1}', '{"a": 1, "b": "x"}', 1 / 2),
        ('{"a": 1, "b": "x", "c": 0, "d": 0}', '{"a": 1, "b": "x"}', 1 / 2),
        ('{"a": true}', '{"a": 1}', 0),
        ('{"a": null}', '{"b": null}', 0),
        ('{"a": {"b": 1, "c": 2}}', '{"a": {"b": 1, "c": 3}}', 1 / 2),
        ('{"a": [1, 2]}', '{"a": [2, 1]}', 0),
        ('{"a": {}}', '{"a": {}}', 1),
        ("{}", "{}", 1),
        ('{"a": 1', '{"a": 1}', 0),
        ('[{"a": 1}]', '{"a": 1}', 0),
        ('```json\n{"a": 1}\n```', '{"a": 1}', 0),
        ('Sure! {"a": 1}', '{"a": 1}', 0),
    ],
)
def test_json_fields_is_the_share_of_equal_fields(output: str, gold: str, score: float) -> None:
    assert json_fields(output, gold) == pytest.approx(score)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=2)
)


@given(st.dictionaries(st.text(max_size=3), VALUES), st.text())
def test_every_object_scores_one_against_itself_and_garbage_scores_in_range(
    value: dict[str, Any], garbage: str
) -> None:
    gold = json.dumps(value)
    assert json_fields(gold, gold) == 1
    assert 0 <= json_fields(garbage, gold) <= 1


def test_exact_evens_out_white_space_and_unicode_but_not_case_of_free_text() -> None:
    assert exact(" ls  -l\n", "ls -l") == 1
    assert exact("cafe\u0301", "café") == 1
    assert exact("ls -L", "ls -l") == 0


def test_case_tells_labels_apart_where_two_differ_in_nothing_else(tmp_path: Path) -> None:
    read = scorer(tmp_path, "exact", {"format": "choice", "labels": ["v", "V"]}).score
    assert read("V", "v") == Scored(0, True, 0, 0)
    assert read("It is V.", "V") == FORM_ONLY
    assert scorer(tmp_path, "exact", {"format": "choice", "labels": ["yes", "no"]}).score("Yes", "yes") == FORM_ONLY


@pytest.mark.parametrize(
    ("output", "score"),
    [
        ("<think>\nred or blue?\n</think>\n\nred", 1),
        ("red or blue?\n</think>\nred", 1),
        ("<think>\nred", 0),
        ("red", 1),
        ("<think>\nred\n</think>\n\nblue", 0),
    ],
)
def test_a_score_and_the_contract_read_what_follows_the_trace(tmp_path: Path, output: str, score: float) -> None:
    task = TaskConfig(instruction="x", answer={"format": "choice", "labels": ["red", "blue"]}, metric="choice")
    found = Scorer.for_task(task, tmp_path).score(output, "red")
    assert (found.strict, found.is_valid) == (score, output != "<think>\nred")
