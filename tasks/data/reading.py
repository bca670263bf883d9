"""From files to one frame: every record becomes a row, with a number and, where it could not be read, the reason."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from schemas.errors import DatasetRefused
from tasks.answers.contract import Breach
from tasks.data.records import Record, read_records

if TYPE_CHECKING:
    from schemas.artifacts import SourceFile
    from schemas.config import DataConfig

Columns = dict[str, str]  # what it is for -> column of the source

CHUNK = 50_000
SCHEMA = {
    "row_id": pl.Int64,
    "file": pl.String,
    "line": pl.Int64,
    "prompt": pl.String,
    "completion": pl.String,
    "group": pl.String,
    "reason": pl.String,
    "detail": pl.String,
}


def read_rows(files: Iterable[SourceFile], data: DataConfig) -> pl.DataFrame:
    """Return every row of the files, with SCHEMA's columns; `reason` and `detail` say why one could not be read.

    Rows are numbered through all files; in a single file the number is the record's own (tasks/data/records.py).

    Raises:
        DatasetRefused: a file cannot be read as a whole, lacks a column in every row, or has no row.
    """
    columns = {"prompt": data.prompt, "completion": data.completion} | ({"group": data.group} if data.group else {})
    frames: list[pl.DataFrame] = []
    last = 0
    for file in files:
        path = Path(file.path)
        found = _read_file(path, file.suffix, columns, last)
        frames += found
        last = max((int(frame["row_id"][-1]) for frame in found), default=last)
    return pl.concat(frames, rechunk=False)


def _read_file(path: Path, suffix: str, columns: Columns, before: int) -> list[pl.DataFrame]:
    seen: set[str] = set()
    frames = []
    records = read_records(path, suffix)
    while chunk := list(islice(records, CHUNK)):
        seen.update(*(record.keys() for _, record in chunk if isinstance(record, dict)))
        frames.append(_frame(chunk, path.name, columns, before))
    if not frames:
        raise DatasetRefused(f"{path.name} has no rows. A run needs rows with the columns {_listed(columns.values())}.")
    _refuse_missing(path, columns, seen)
    return frames


def _refuse_missing(path: Path, columns: Columns, seen: set[str]) -> None:
    missing = [(role, column) for role, column in columns.items() if column not in seen]
    if missing and seen:
        lines = [f"{path.name} has no column {column!r} (data.{role}){_nearest(column, seen)}" for role, column in missing]
        raise DatasetRefused("\n".join([*lines, f"  Its columns: {_listed(sorted(seen))}. Name the right one in the config."]))


def _nearest(column: str, seen: set[str]) -> str:
    near = difflib.get_close_matches(column.lower(), [name.lower() for name in seen], n=1, cutoff=0.5)
    meant = next((name for name in sorted(seen) if near and name.lower() == near[0]), None)
    return f"; did you mean {meant!r}?" if meant else "."


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    return ", ".join(every[:20]) + (f", +{len(every) - 20}" if len(every) > 20 else "")


def _frame(chunk: list[Record], file: str, columns: Columns, before: int) -> pl.DataFrame:
    rows = [(before + number, file, number, *_row(record, columns)) for number, record in chunk]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _row(record: dict[str, Any] | Breach, columns: Columns) -> tuple[str | None, ...]:
    if isinstance(record, Breach):
        return None, None, None, record.reason, record.detail
    for role in ("prompt", "completion"):
        problem = _problem(record, columns[role])
        if problem:
            return None, None, None, problem.reason, problem.detail
    group = _group(record.get(columns["group"])) if "group" in columns else None
    return record[columns["prompt"]], record[columns["completion"]], group, None, None


def _problem(record: dict[str, Any], column: str) -> Breach | None:
    if column not in record:
        return Breach("missing_field", f"has no {column!r}")
    value = record[column]
    if value is None or isinstance(value, str):
        return None
    return Breach("not_text", f"{column!r} is a {type(value).__name__}, not text")


def _group(value: object) -> str | None:
    """Return a group's name; a number is a name too, null and nested values are none."""
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int | float) else None
