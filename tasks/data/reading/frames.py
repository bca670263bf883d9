"""From files to frames: every record becomes a row with a number and, if it cannot be read, the reason."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

from schemas.errors import DatasetRefused
from tasks.answers.contract import Breach
from tasks.data.reading.layouts import OPTIONAL, Convert, columns_of, converter, detected
from tasks.data.reading.records import Record, read_records

if TYPE_CHECKING:
    from schemas.sections.data import DataConfig
    from schemas.sources import SourceFile

CHUNK = 50_000
JUDGED = 1000  # records that a layout is detected from
SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "row_id": pl.Int64,
    "file": pl.String,
    "line": pl.Int64,
    "history": pl.List(pl.String),
    "prompt": pl.String,
    "completion": pl.String,
    "group": pl.String,
    "given": pl.String,
    "system": pl.String,
    "reason": pl.String,
    "detail": pl.String,
    "own": pl.String,
    "extra": pl.String,
    "id": pl.UInt64,
}


class RecordChecks(Protocol):
    """Checks of whole records while they are read (tasks/data/checking/own_checks.py)."""

    @property
    def needed(self) -> dict[str, str]:
        """Setting -> column, for every required column of the records."""

    def failures(self, rows: pl.DataFrame, records: Sequence[Mapping[str, Any] | Breach]) -> pl.Series:
        """Return what each row fails, or null."""


@dataclass(frozen=True)
class ReadPiece:
    """Some of a file's rows with SCHEMA's columns, and their layout."""

    rows: pl.DataFrame
    layout: str


def read_rows(files: Iterable[SourceFile], data: DataConfig, own: RecordChecks | None = None) -> Iterator[ReadPiece]:
    """Yield every row of the files, CHUNK at a time and at least one piece per file.

    `reason` and `detail` say why a row cannot be read, `own` which of the team's own checks it fails, `extra` which
    unusual keys it has; `id` is the fingerprint of data.id. Rows are numbered across all files; in a single file the
    number is the record's own (tasks/data/reading/records.py).

    Raises:
        DatasetRefused: a file cannot be read at all, lacks a column in every row, or has no rows.
    """
    before = 0
    for file in files:
        last = before
        for piece in _read_file(Path(file.path), file.suffix, data, own, before):
            last = int(piece.rows["row_id"][-1])
            yield piece
        before = last


def _read_file(path: Path, suffix: str, data: DataConfig, own: RecordChecks | None, before: int) -> Iterator[ReadPiece]:
    records = read_records(path, suffix)
    first = list(islice(records, JUDGED))
    layout = (
        data.layout
        if data.layout != "detected"
        else detected([record for _, record in first if isinstance(record, dict)], data)
    )
    columns = columns_of(layout, data) | _named(data) | (own.needed if own else {})
    usual = _usual_keys([record for _, record in first if isinstance(record, dict)]) | {*columns.values(), *OPTIONAL}
    convert = converter(layout, data)
    every, seen, is_empty = chain(first, records), set[str](), not first
    while chunk := list(islice(every, CHUNK)):
        seen.update(*(record.keys() for _, record in chunk if isinstance(record, dict)))
        records_of = [record for _, record in chunk]
        frame = _frame(chunk, path.name, convert, data.group, before)
        frame = frame.with_columns(own.failures(frame, records_of)) if own else frame
        yield ReadPiece(frame.with_columns(_extra_keys(records_of, usual), _ids(records_of, data.id)), layout)
    if is_empty:
        raise DatasetRefused(f"{path.name} has no rows. A run needs rows with the columns {listed(columns.values())}.")
    _refuse_missing(path, columns, seen)


def _named(data: DataConfig) -> dict[str, str]:
    return {f"data.{role}": column for role, column in (("group", data.group), ("id", data.id)) if column}


def _usual_keys(records: list[dict[str, Any]]) -> set[str]:
    counts = Counter(key for record in records for key in record)
    return {key for key, count in counts.items() if count * 2 >= len(records)}


def _extra_keys(records: list[dict[str, Any] | Breach], usual: set[str]) -> pl.Series:
    extra = [
        None if isinstance(record, Breach) or record.keys() <= usual else listed(sorted(record.keys() - usual))
        for record in records
    ]
    return pl.Series("extra", extra, dtype=pl.String)


def _ids(records: list[dict[str, Any] | Breach], column: str | None) -> pl.Series:
    if column is None:
        return pl.Series("id", [None] * len(records), dtype=pl.UInt64)
    names = pl.Series(
        "id",
        [None if isinstance(record, Breach) else _group(record.get(column)) for record in records],
        dtype=pl.String,
    )
    return names.to_frame().select(pl.when(pl.col("id").is_not_null()).then(pl.col("id").hash(seed=3)))["id"]


def _refuse_missing(path: Path, columns: dict[str, str], seen: set[str]) -> None:
    missing = [(role, column) for role, column in columns.items() if column not in seen]
    if missing and seen:
        lines = [f"{path.name} has no column {column!r} ({role}){nearest(column, seen)}" for role, column in missing]
        raise DatasetRefused(
            "\n".join([*lines, f"  Its columns: {listed(sorted(seen))}. Name the right one in the config."])
        )


def nearest(column: str, seen: set[str]) -> str:
    """Return a question that names the most similar of the columns, or the end of a sentence."""
    near = difflib.get_close_matches(column.lower(), [name.lower() for name in seen], n=1, cutoff=0.5)
    meant = next((name for name in sorted(seen) if near and name.lower() == near[0]), None)
    return f"; did you mean {meant!r}?" if meant else "."


def listed(names: Iterable[str]) -> str:
    """Return the first twenty names, and how many there are more."""
    every = list(names)
    return ", ".join(every[:20]) + (f", +{len(every) - 20}" if len(every) > 20 else "")


def _frame(chunk: list[Record], file: str, convert: Convert, group: str | None, before: int) -> pl.DataFrame:
    rows = [
        (before + number, file, number, *_row(record, convert, group), None, None, None) for number, record in chunk
    ]
    columns = zip(*rows, strict=True)
    frame = pl.DataFrame(
        [pl.Series(name, values, dtype=kind) for (name, kind), values in zip(SCHEMA.items(), columns, strict=True)]
    )
    # Building an empty list for each row would take longer than all the texts.
    return frame.with_columns(
        pl.col(name).fill_null(pl.lit([], dtype=kind)) for name, kind in SCHEMA.items() if isinstance(kind, pl.List)
    )


def _row(record: dict[str, Any] | Breach, convert: Convert, group: str | None) -> tuple[Any, ...]:
    turns = record if isinstance(record, Breach) else convert(record)
    if isinstance(turns, Breach):
        return None, None, None, None, None, None, turns.reason, turns.detail
    named = _group(record.get(group)) if group and isinstance(record, dict) else None
    return turns.history or None, turns.prompt, turns.completion, named, turns.given, turns.system, None, None


def _group(value: object) -> str | None:
    """Return a group's name; numbers are names too, null and nested values are not."""
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int | float) else None
