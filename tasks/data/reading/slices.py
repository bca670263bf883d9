"""Columns of the source rows that slice the held-out rows, and what makes a column useless for that."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from schemas.artifacts import SlicesArtifact
from schemas.errors import ConfigRefused, TuneworthyError
from tasks.data.reading.frames import listed, nearest
from tasks.data.reading.records import Form, Record, read_records
from tasks.data.reading.teaching import JUDGED

if TYPE_CHECKING:
    from schemas.sources import SourceFile
    from tasks.reuse.stage import WorkDirectory

MOST_VALUES = 20  # of a column; more are too many to read, and each has too few rows to tell anything
NAMES = (str, int, float, decimal.Decimal, datetime.date, datetime.time)


def write_slices(
    columns: tuple[str, ...], data: Path, sources: tuple[SourceFile, ...], workdir: WorkDirectory
) -> SlicesArtifact:
    """Write slices.parquet: for each column, the value of every held-out row as text.

    Args:
        columns: of the source's records.
        data: opened DataArtifact.
        sources: the files that its rows were read from.
        workdir: of the stage.

    Raises:
        ConfigRefused: a column is missing, is empty in a row, or does not slice; the message names every one.
        TuneworthyError: a file changed after the run began.
    """
    for file in sources:
        if not Path(file.path).is_file() or workdir.store.file_digest(Path(file.path)) != file.digest:
            raise TuneworthyError(f"{file.path} was changed or removed after the run began. Run again.")
    held_out = set(pl.read_parquet(data / "held_out.parquet", columns=["row_id"])["row_id"])
    found: dict[str, dict[int, str | None]] = {column: {} for column in columns}
    for row_id, record in _numbered(sources):
        if row_id in held_out and isinstance(record, dict):
            for column, values in found.items():
                values[row_id] = _as_name(record.get(column))
    faults = missing_columns(columns, sources) or [
        fault for column, values in found.items() if (fault := _fault_of(column, values))
    ]
    if faults:
        raise ConfigRefused("\n".join(faults))
    frames = [
        pl.DataFrame({"column": column, "row_id": list(values), "value": list(values.values())})
        for column, values in found.items()
    ]
    pl.concat(frames).write_parquet(workdir.out / "slices.parquet", compression="zstd", statistics=False)
    return SlicesArtifact(columns=columns)


def _numbered(files: tuple[SourceFile, ...]) -> Iterator[Record]:
    """Yield every record with its row's number, as tasks.data.reading.frames.read_rows counts."""
    before = last = 0
    for file in files:
        for number, record in read_records(Path(file.path), file.suffix, Form(file.separator, file.encoding)):
            last = before + number
            yield last, record
        before = last


def missing_columns(columns: tuple[str, ...], files: tuple[SourceFile, ...]) -> list[str]:
    """Return one sentence for each column that the first records of a file do not have."""
    faults = []
    for file in files:
        seen = _columns_in(file)
        faults += [
            f"decision.slices: {Path(file.path).name} has no column {column!r}{nearest(column, seen)} Its columns: "
            f"{listed(sorted(seen))}. Name one of them."
            for column in columns
            if column not in seen and seen
        ]
    return faults


def _columns_in(file: SourceFile) -> set[str]:
    if file.suffix == ".parquet":
        return set(pl.read_parquet_schema(file.path))
    first = islice(read_records(Path(file.path), file.suffix, Form(file.separator, file.encoding)), JUDGED)
    return {name for _, record in first if isinstance(record, dict) for name in record}


def _as_name(value: object) -> str | None:
    """Return a value as a slice's name; null for what has no text: null, an empty text, not a number, a list."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).strip() or None if isinstance(value, NAMES) and value == value else None


def _fault_of(column: str, values: dict[int, str | None]) -> str:
    """Return why the column does not slice the held-out rows; "" where it does."""
    empty, kinds = [row_id for row_id, value in values.items() if value is None], set(values.values())
    where = f"decision.slices: column {column!r}"
    if empty:
        return (
            f"{where} has no text or number in {len(empty)} of {len(values)} held-out rows, the first is row "
            f'{min(empty)}. Give every row a value, such as "unknown", or leave the column out.'
        )
    if len(kinds) == len(values) > 1:
        return (
            f"{where} has another value in every held-out row, so a slice would be one row. Name a column that many "
            "rows share a value of."
        )
    if len(kinds) > MOST_VALUES:
        return (
            f"{where} has {len(kinds)} values in {len(values)} held-out rows; at most {MOST_VALUES} are compared. Bin "
            "it, such as ages into decades, in a column of its own, and name that."
        )
    return ""
