"""Columns that slice the held-out rows: read beside the rows, and refused where they slice nothing."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from schemas.errors import ConfigRefused
from tasks.data.locating import locate_data
from tasks.data.reading.slices import write_slices
from tests.data.conftest import Room, sound_rows


def sliced(room: Room, rows: list[dict[str, Any]], *columns: str, name: str = "rows.jsonl") -> pl.DataFrame:
    """Validate the rows and return slices.parquet."""
    source = room.write(rows, name) if name.endswith("l") else room.folder / name
    pl.DataFrame(rows).write_parquet(source) if name.endswith("parquet") else None
    room.validate(source=name)
    data = room.workdir.out
    files = locate_data(room.config(source=name), room.workdir.store).rows
    write_slices(columns, data, files, room.workdir)
    return pl.read_parquet(data / "slices.parquet")


def with_columns(count: int = 60, **columns: Any) -> list[dict[str, Any]]:
    """Return sound rows with more columns, each given by a function of the row's place."""
    return [row | {name: of(place) for name, of in columns.items()} for place, row in enumerate(sound_rows(count))]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.parquet"])
def test_every_held_out_row_gets_its_value_as_text_also_numbers_and_truths(name: str, room: Room) -> None:
    rows = with_columns(
        language=lambda n: ("de", " en ")[n % 2], urgent=lambda n: n % 3 == 0, year=lambda n: 2020 + n % 2
    )
    found = sliced(room, rows, "language", "urgent", "year", name=name)
    held_out = room.table("held_out")["row_id"].to_list()
    for column, of in (
        ("language", lambda n: ("de", "en")[n % 2]),
        ("urgent", lambda n: str(n % 3 == 0).lower()),
        ("year", lambda n: str(2020 + n % 2)),
    ):
        table = found.filter(pl.col("column") == column)
        assert dict(table.select("row_id", "value").iter_rows()) == {row: of(row - 1) for row in held_out}


def test_rows_of_several_files_keep_their_numbers(room: Room) -> None:
    rows = with_columns(part=lambda n: "first" if n < 30 else "second")
    room.write(rows[:30], "a.jsonl")
    room.write(rows[30:], "b.jsonl")
    room.validate(source="*.jsonl")
    files = locate_data(room.config(source="*.jsonl"), room.workdir.store).rows
    write_slices(("part",), room.workdir.out, files, room.workdir)
    found = pl.read_parquet(room.workdir.out / "slices.parquet")
    assert set(found["row_id"]) == set(room.table("held_out")["row_id"])
    assert found.filter((pl.col("row_id") <= 30) != (pl.col("value") == "first")).height == 0


@pytest.mark.parametrize(
    ("of", "says"),
    [
        (lambda n: None if n % 2 else "de", "has no text or number in"),
        (lambda n: "  " if n % 2 else "de", "has no text or number in"),
        (lambda n: ["de"], "has no text or number in"),
        (lambda n: f"id-{n}", "has another value in every held-out row"),
        (lambda n: n // 2, "values in 60 held-out rows; at most 20 are compared. Bin it"),
    ],
)
def test_a_column_that_does_not_slice_is_refused_in_words(of: Any, says: str, room: Room) -> None:
    count = 60 if "values in" not in says else 300
    with pytest.raises(ConfigRefused) as refused:
        sliced(room, with_columns(count, kind=of), "kind")
    text = str(refused.value)
    assert text.startswith("decision.slices: column 'kind' ")
    assert says.replace("60", str(room.table("held_out").height)) in text


def test_a_missing_column_is_refused_when_the_files_are_located_before_anything_runs(room: Room) -> None:
    room.write(with_columns(language=lambda n: "de"))
    config = room.config()
    wrong = config.model_copy(update={"decision": config.decision.model_copy(update={"slices": ("langauge",)})})
    with pytest.raises(ConfigRefused) as refused:
        locate_data(wrong, room.workdir.store)
    assert "rows.jsonl has no column 'langauge'; did you mean 'language'? Its columns: " in str(refused.value)


def test_the_same_column_twice_is_refused() -> None:
    from schemas.sections.decision import DecisionConfig

    with pytest.raises(ValueError, match="the same column twice"):
        DecisionConfig(slices=("a", "a"))
    assert DecisionConfig(slices=("a", "b")).slices == ("a", "b")
