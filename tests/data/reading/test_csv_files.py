"""CSV as Excel, pandas and databases write it."""

from __future__ import annotations

import polars as pl
import pytest

from schemas.errors import DatasetRefused
from tests.data.conftest import Room

N = 40


def lines(row: str, header: str = "prompt;completion") -> str:
    """Return a file with N rows; `#` is the row's number."""
    return "\n".join([header, *(row.replace("#", str(n)) for n in range(N))]) + "\n"


def kept(room: Room) -> list[tuple[str, str]]:
    """Return request and answer of every row that was kept."""
    both = pl.concat([room.table("train"), room.table("held_out")]).sort("row_id")
    return [(row["prompt"], row["completion"]) for row in both.to_dicts()]


@pytest.mark.parametrize(
    ("content", "first"),
    [
        (lines("ask #;say, #, and on"), ("ask 0", "say, 0, and on")),
        ("sep=;\n" + lines("ask #;say #"), ("ask 0", "say 0")),
        ("\ufeffsep=\t\r\n" + lines("ask #\tsay #", "prompt\tcompletion"), ("ask 0", "say 0")),
        (lines("ask #|say #", "prompt|completion"), ("ask 0", "say 0")),
        (lines('"ask #, please";say #', '"Question, as asked";Answer'), ("ask 0, please", "say 0")),
        (lines('ask #,"He said \\"#\\" to me"', "prompt,completion"), ("ask 0", 'He said "0" to me')),
        (lines('ask #,"He said ""#"", C:\\temp"', "prompt,completion"), ("ask 0", 'He said "0", C:\\temp')),
        (lines('"ask\n#; or";say #'), ("ask\n0; or", "say 0")),
        (lines("ask #;say #;;", "prompt;completion;;"), ("ask 0", "say 0")),
    ],
)
def test_the_separator_is_told_from_lines_that_agree(room: Room, content: str, first: tuple[str, str]) -> None:
    room.write(content, "rows.csv")
    names = {"prompt": "Question, as asked", "completion": "Answer"} if "Question" in content else {}
    assert room.validate(source="rows.csv", **names).refused_rows == 0
    assert len(kept(room)) == N
    assert kept(room)[0] == first


def test_blank_rows_and_columns_without_a_name_are_passed_over_and_counted(room: Room) -> None:
    room.write(lines("ask #;say #;", "prompt;completion;") + ";;\n;;\n\n  ;;\n", "rows.csv")
    assert room.validate(source="rows.csv").refused_rows == 0
    assert room.report()["passed_over"] == {"blank rows": 3, "columns without a name": 1}


def test_a_column_without_a_name_that_is_filled_is_named_by_its_place(room: Room) -> None:
    room.write(lines("#,ask #,say #", ",prompt,completion"), "rows.csv")
    room.validate(source="rows.csv")
    assert {"column": "column 1", "became": "not read", "filled": 1.0} in room.report()["columns"]


def test_the_config_has_the_last_word_on_the_separator(room: Room) -> None:
    room.write(lines("ask #:say #", "prompt:completion"), "rows.csv")
    with pytest.raises(DatasetRefused, match="has no column 'prompt'"):
        room.validate(source="rows.csv")
    assert room.validate(source="rows.csv", separator=":").refused_rows == 0


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "latin-1"])
def test_the_encoding_is_the_one_that_the_config_names(room: Room, encoding: str) -> None:
    room.write(lines("Müßte # fahren?;Ja, # für £5.").encode(encoding), "rows.csv")
    with pytest.raises(DatasetRefused, match=r"data\.encoding|wrong_encoding"):
        room.validate(source="rows.csv")
    room.validate(source="rows.csv", encoding=encoding)
    assert kept(room)[0] == ("Müßte 0 fahren?", "Ja, 0 für £5.")


def test_an_encoding_that_does_not_fit_is_said(room: Room) -> None:
    room.write(lines("Müßte #;Ja #").encode("cp1252"), "rows.csv")
    with pytest.raises(DatasetRefused, match=r"not in data\.encoding utf-8"):
        room.validate(source="rows.csv", encoding="utf-8")
    with pytest.raises(ValueError, match="no encoding that Python knows"):
        room.config(encoding="utf-99")
