"""A team's own checks: on the rows' texts and on any column of their records; a file that is no such schema is refused
with its lines.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandera.polars as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ConfigRefused, DatasetRefused
from tasks.data.checking.own_checks import read_own_checks
from tests.data.conftest import Room, sound_rows

CHECKS = """
columns:
  prompt:
    str_length: {min_value: 3, max_value: 40, name: length_of_a_question}
    str_endswith: "?"
  score:
    dtype: Float64
    nullable: true
    in_range: {min_value: 0, max_value: 1}
  language:
    dtype: String
    isin: [de, en]
"""


def rows(*more: dict[str, Any]) -> list[dict[str, Any]]:
    return [*({**row, "score": 0.5, "language": "en"} for row in sound_rows(60)), *more]


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"prompt": "p?"}, "prompt: length_of_a_question"),
        ({"prompt": "Say hello."}, "prompt: str_endswith"),
        ({"score": 1.5}, "score: in_range"),
        ({"score": "high"}, "score: is not a Float64"),
        ({"score": [0.5]}, "score: is not a Float64"),
        ({"score": True}, "score: is not a Float64"),
        ({"language": "fr"}, "language: isin"),
        ({"language": None}, "language: not_nullable"),
        ({"language": 3}, "language: is not a String; language: not_nullable"),
        ({"prompt": "p", "score": -1}, "prompt: length_of_a_question; prompt: str_endswith; score: in_range"),
    ],
)
def test_a_row_that_fails_a_check_is_refused_with_its_column_and_name(
    room: Room, change: dict[str, Any], detail: str
) -> None:
    room.write(CHECKS, "checks.yaml")
    bad = {"prompt": "is it?", "completion": "yes", "score": 0.1, "language": "de", **change}
    room.write(rows(bad))
    assert room.validate(checks_file="checks.yaml", refuse_above=0.1).reasons == {"own_check": 1}
    assert room.table("refused").select("row_id", "reason", "detail").row(0) == (61, "own_check", detail)


def test_what_may_be_null_may_be_missing_and_a_number_may_be_spelled(room: Room) -> None:
    room.write(CHECKS, "checks.yaml")
    room.write(
        rows(
            {"prompt": "is it?", "completion": "yes", "language": "de"},
            {"prompt": "or not?", "completion": "no", "language": "de", "score": "0.25"},
        )
    )
    assert room.validate(checks_file="checks.yaml").refused_rows == 0


def test_a_csv_file_is_checked_like_any_other(room: Room) -> None:
    room.write(CHECKS, "checks.yaml")
    lines = [
        "prompt,completion,score,language",
        *(f"is it {n}?,a{n},0.{n % 10},de" for n in range(60)),
        "is it 60?,a60,2,de",
        "is it 61?,a61,,en",
    ]
    room.write("\n".join(lines), "rows.csv")
    room.validate(source="rows.csv", checks_file="checks.yaml", refuse_above=0.1)
    assert room.table("refused").select("row_id", "detail").rows() == [(61, "score: in_range")]


def test_the_action_of_an_own_check_can_be_set_and_a_row_that_cannot_be_read_fails_none(room: Room) -> None:
    room.write(CHECKS, "checks.yaml")
    room.write(rows({"prompt": "p?", "completion": "x", "language": "de"}, {"completion": "x"}))
    room.validate(checks_file="checks.yaml", checks={"own_check": "note"}, refuse_above=0.1)
    assert room.table("notes").select("row_id", "reason").rows() == [(61, "own_check")]
    assert room.table("refused").select("row_id", "reason").rows() == [(62, "missing_field")]


def test_a_column_that_no_record_has_is_said_once_for_the_file(room: Room) -> None:
    room.write(CHECKS, "checks.yaml")
    room.write(sound_rows(60))
    with pytest.raises(DatasetRefused, match=r"has no column 'language' \(data\.checks_file columns\.language\)"):
        room.validate(checks_file="checks.yaml")


def test_a_group_is_checked_where_there_is_one(room: Room) -> None:
    room.write('columns: {group: {str_matches: "^g[0-9]$"}}', "checks.yaml")
    room.write(sound_rows(60))
    room.validate(group="group", checks_file="checks.yaml", refuse_above=1)
    assert room.table("refused").height == 50
    with pytest.raises(ConfigRefused, match=r"line 1  columns\.group\.dtype: must be String, Int64, Float64, Boolean"):
        room.validate(checks_file="checks.yaml")


PROBLEMS = {
    "": "line 1  is not a mapping",
    "- a": "line 1  is not a mapping",
    "columns: {}": "line 1  columns: names no column",
    "\ncolumns:\n  prompt: 3": "line 3  columns.prompt: has no checks",
    "columns:\n  prompt:\n    str_lenght: {min_value: 1}": (
        "line 3  columns.prompt.str_lenght: no such check or setting; did you mean str_length?"
    ),
    "columns:\n  prompt:\n    str_length: {minimum: 1}": (
        "line 3  columns.prompt.str_length: has no argument 'minimum'; allowed are min_value, max_value, exact_value"
    ),
    "columns:\n  prompt:\n    str_length: {}": "line 3  columns.prompt.str_length: At least a minimum or a maximum",
    'columns:\n  prompt:\n    str_matches: "("': (
        "line 3  columns.prompt.str_matches: missing ), unterminated subpattern"
    ),
    'columns:\n  prompt:\n    str_matches: "(?=a)b"': "line 3  columns.prompt.str_matches: cannot be used",
    "columns:\n  prompt:\n    dtype: Int64": "line 3  columns.prompt.dtype: must be String",
    "columns:\n  score:\n    in_range: {min_value: 0, max_value: 1}": (
        "line 2  columns.score.dtype: must be String, Int64, Float64, Boolean"
    ),
    "columns:\n  score:\n    dtype: Float64\n    in_range: {min_value: 0}": (
        "line 4  columns.score.in_range: in_range() missing required argument"
    ),
    "columns:\n  score:\n    dtype: Float64\n    isin: 3": "line 4  columns.score.isin",
    "columns:\n  score: {dtype: Float64, nullable: perhaps}": "line 2  columns.score.nullable: must be true or false",
    "columns:\n  prompt: {str_endswith: x, str_endswith: y}": "line 2  columns.prompt.str_endswith: appears twice",
    "columns:\n  prompt: {str_endswith: x}\nstrict: true": "line 3  strict: no such check or setting",
    "columns:\n  1: {dtype: String}\n  true: 3": "line 3  columns.true: has no checks",
    "columns:\n  prompt: {from_builtin_check_name: x}": (
        "line 2  columns.prompt.from_builtin_check_name: no such check or setting"
    ),
    "columns: {prompt: !!python/name:os.system {}}": "is not YAML",
    "columns: [": "is not YAML",
    "\0": "is not YAML",
}


@pytest.mark.parametrize("text", PROBLEMS)
def test_a_file_that_is_no_such_schema_is_refused_with_the_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "checks.yaml").write_text(text)
    with pytest.raises(ConfigRefused) as refused:
        read_own_checks(tmp_path / "checks.yaml", has_group=False)
    assert PROBLEMS[text] in str(refused.value)


def test_all_problems_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "checks.yaml").write_text("columns:\n  prompt: {a: 1}\n  score: {dtype: Text}\nb: 2")
    with pytest.raises(
        ConfigRefused, match=r"checks\.yaml cannot be used, 3 problems:\n  line 2 .*\n  line 3 .*\n  line 4 "
    ):
        read_own_checks(tmp_path / "checks.yaml", has_group=False)


def test_what_pandera_writes_is_read(tmp_path: Path) -> None:
    columns = {
        "prompt": pa.Column(str, [pa.Check.str_length(1, 9), pa.Check.str_matches("^x", name="begins_with_x")]),
        "n": pa.Column(int, pa.Check.gt(0)),
    }
    (tmp_path / "checks.yaml").write_text(pa.DataFrameSchema(columns).to_yaml())
    made = read_own_checks(tmp_path / "checks.yaml", has_group=False)
    assert made.columns["prompt"].checks == ("str_length", "begins_with_x")
    assert made.needed == {"data.checks_file columns.n": "n"}


WORDS = st.sampled_from(
    ["prompt", "score", "dtype", "isin", "str_length", "min_value", "value", "name", "nullable", "options"]
)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=4),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=3),
    )
)
def test_any_yaml_is_a_schema_or_refused(tmp_path_factory: pytest.TempPathFactory, content: Any) -> None:
    import yaml

    path = tmp_path_factory.mktemp("any") / "checks.yaml"
    path.write_text(yaml.safe_dump({"columns": content}))
    try:
        assert read_own_checks(path, has_group=True).columns
    except ConfigRefused as refused:
        assert str(refused)
