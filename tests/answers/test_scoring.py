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
from tasks.answers.scoring import Scored, Scorer, exact, json_fields, token_f1

PEOPLE = (
    "create table t(name text, size int, share real); insert into t values ('a', 1, 0.1), ('b', 2, 0.2), ('b', 2, "
    "0.2), ('c', 3, 0.3);"
)


def scorer(folder: Path, metric: str, answer: dict[str, Any]) -> Scorer:
    return Scorer.for_task(TaskConfig.model_validate({"instruction": "x", "answer": answer, "metric": metric}), folder)


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


def test_a_fenced_query_scores_but_is_not_valid(sql: Scorer) -> None:
    assert sql.score("```sql\nselect 'a'\n```", "select 'a'") == Scored(1.0, False)
    assert sql.score("Here you are:\n```sql\nselect 'a'\n```", "select 'a'") == Scored(0.0, False)


def test_a_query_without_rows_is_not_valid(sql: Scorer) -> None:
    assert sql.score("select name from t where size > 9", "select name from t") == Scored(0.0, False)


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
        ('```json\n{"a": 1}\n```', '{"a": 1}', 1),
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


def test_a_label_is_right_in_any_case_unless_case_tells_labels_apart(tmp_path: Path) -> None:
    assert scorer(tmp_path, "exact", {"format": "choice", "labels": ["yes", "no"]}).score("Yes", "yes") == Scored(
        1.0, False
    )
    assert scorer(tmp_path, "exact", {"format": "choice", "labels": ["v", "V"]}).score("V", "v") == Scored(0.0, True)


@pytest.mark.parametrize(
    ("output", "gold", "score"),
    [
        ("The Eiffel tower!", "eiffel tower", 1),
        ("in Paris, France", "Paris", 0.5),
        ("Paris Paris", "Paris", 2 / 3),
        ("Rome", "Paris", 0),
        ("", "Paris", 0),
        ("the", "a", 1),
    ],
)
def test_token_f1_counts_words_as_squad_does(output: str, gold: str, score: float) -> None:
    assert token_f1(output, gold) == pytest.approx(score)
