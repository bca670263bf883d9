"""Parquet, Arrow and Excel files as numbered records: bytes that are UTF-8 as text, class numbers as their names."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from schemas.errors import DatasetRefused

SLICE = 500_000  # rows of a Parquet file in memory at once
Row = tuple[int, dict[str, Any]]


def parquet_records(path: Path) -> Iterator[Row]:
    """Yield the rows of a Parquet file, numbered from 1.

    Raises:
        DatasetRefused: it is none, or damaged.
    """
    import polars as pl
    import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
    import pyarrow.parquet as pq  # type: ignore[import-untyped, unused-ignore]

    start = 0
    try:
        names = class_names(pq.read_schema(path).metadata or {})
        while not (frame := pl.scan_parquet(path, glob=False).slice(start, SLICE).collect()).is_empty():
            yield from as_text(enumerate(frame.iter_rows(named=True), start + 1), names)
            start += SLICE
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, pa.ArrowException, OSError) as fault:
        raise DatasetRefused(f"{path.name} cannot be read as Parquet: {str(fault).splitlines()[0][:200]}.") from fault


def excel_records(path: Path) -> Iterator[Row]:
    """Yield the rows of an Excel file's only sheet with rows, as texts, numbered as Excel does; blank ones are passed
    over.

    Raises:
        DatasetRefused: it is none, is damaged, or several of its sheets have rows.
    """
    import fastexcel

    try:
        book = fastexcel.read_excel(path)
        sheets = [sheet for name in book.sheet_names if (sheet := book.load_sheet(name, dtypes="string")).height]
        if len(sheets) != 1:
            names = ", ".join(sheet.name for sheet in sheets) or "none"
            raise DatasetRefused(
                f"{path.name}: one sheet with a header and rows is read, and {len(sheets)} have them ({names}). Leave "
                "one, or save the right one as CSV UTF-8."
            )
        for number, row in enumerate(sheets[0].to_polars().iter_rows(named=True), 2):
            kept = {name: text for name, text in row.items() if not (name.startswith("__UNNAMED__") and text is None)}
            if any(text is not None and text.strip() for text in kept.values()):
                yield number, kept
    except fastexcel.FastExcelError as fault:
        raise DatasetRefused(f"{path.name} cannot be read as Excel: {str(fault).splitlines()[0][:200]}.") from fault


def arrow_records(path: Path) -> Iterator[Row]:
    """Yield the rows of an Arrow stream, as `save_to_disk` of the datasets library writes it.

    Raises:
        DatasetRefused: it is none, or damaged.
    """
    import pyarrow as pa

    number = 0
    try:
        with pa.ipc.open_stream(path) as batches:
            names = class_names(batches.schema.metadata or {})
            for batch in batches:
                yield from as_text(enumerate(batch.to_pylist(), number + 1), names)
                number += batch.num_rows
    except (pa.ArrowException, OSError) as fault:
        raise DatasetRefused(f"{path.name} cannot be read as Arrow: {str(fault).splitlines()[0][:200]}.") from fault


def class_names(metadata: Mapping[bytes, bytes]) -> dict[str, list[str]]:
    """Return column -> names of its classes, from what the datasets library writes into a schema."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    return {name: kind["names"] for name, kind in features.items() if isinstance(kind, dict) and kind.get("names")}


def as_text(rows: Iterable[Row], names: Mapping[str, list[str]]) -> Iterator[Row]:
    """Yield the rows with bytes that are UTF-8 as text, and numbers of classes by their names."""
    for number, row in rows:
        for name, value in row.items():
            if isinstance(value, bytes):
                row[name] = _decoded(value)
            elif name in names and isinstance(value, int) and 0 <= value < len(names[name]):
                row[name] = names[name][value]
        yield number, row


def _decoded(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value
