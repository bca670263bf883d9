"""Files as numbered records: JSON Lines, a JSON array, CSV, Parquet. A record that cannot be read becomes a Breach;
none is lost.

A record's number is where a person finds it: the line of a JSONL file, the row below the header of a CSV file, the
position in other files.
"""

from __future__ import annotations

import codecs
import csv
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import orjson

from schemas.errors import DatasetRefused
from tasks.answers.contract import Breach
from tasks.data.reading.decompression import open_decompressed

Record = tuple[int, dict[str, Any] | Breach]

LINES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
READ = (*LINES, ".parquet", *(f"{kind}{packing}" for kind in LINES for packing in (".gz", ".zst")))
SLICE = 500_000  # rows of a Parquet file in memory at once
OTHER_ENCODINGS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def read_records(path: Path, suffix: str) -> Iterator[Record]:
    """Yield every record of a file with its number; `suffix` is the file's, such as ".jsonl" or ".csv.gz".

    Raises:
        DatasetRefused: the file cannot be read at all: another encoding, damaged compression, an open quote.
    """
    if suffix == ".parquet":
        yield from _parquet_records(path)
        return
    try:
        with open_decompressed(path, suffix) as stream:
            start = stream.peek(4)
            for mark, encoding in OTHER_ENCODINGS.items():
                if start.startswith(mark):
                    raise DatasetRefused(f"{path.name} is in {encoding}, as its first bytes show. Save it as UTF-8.")
            mark_bytes = len(codecs.BOM_UTF8) if start.startswith(codecs.BOM_UTF8) else 0
            stream.read(mark_bytes)
            yield from _records_in(stream, path, suffix.split(".")[1], mark_bytes)
    except OSError as fault:
        raise DatasetRefused(f"{path.name} cannot be read: {fault}.") from fault


def _records_in(stream: IO[bytes], path: Path, kind: str, offset: int) -> Iterator[Record]:
    if kind in ("csv", "tsv"):
        text = io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="")
        try:
            yield from _csv_records(text, path, "\t" if kind == "tsv" else None)
        finally:
            text.detach()
    elif kind == "json":
        yield from _array_records(stream, path)
    else:
        yield from _jsonl_records(stream, offset)


def _jsonl_records(stream: IO[bytes], offset: int) -> Iterator[Record]:
    for number, line in enumerate(stream, 1):
        if line.strip():
            yield number, _json_record(line, offset)
        offset += len(line)


def _json_record(line: bytes, offset: int) -> dict[str, Any] | Breach:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as fault:
        try:
            line.decode()
        except UnicodeDecodeError as broken:
            return Breach(
                "wrong_encoding",
                f"byte 0x{line[broken.start]:02X} at offset {offset + broken.start} of the file is not UTF-8",
            )
        return Breach("malformed_row", f"not JSON: {fault.msg} (character {fault.pos + 1})")
    return value if isinstance(value, dict) else Breach("malformed_row", f"a JSON {_json_kind(value)}, not an object")


def _json_kind(value: object) -> str:
    kinds = {dict: "object", list: "array", str: "text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "number")


def _array_records(stream: IO[bytes], path: Path) -> Iterator[Record]:
    text = stream.read()
    try:
        values = orjson.loads(text)
    except orjson.JSONDecodeError as fault:
        where = f"line {fault.lineno}, column {fault.colno}"
        raise DatasetRefused(
            f"{path.name} is not JSON: {fault.msg} ({where}). Name it .jsonl if each line is an object."
        ) from fault
    if not isinstance(values, list):
        raise DatasetRefused(
            f"{path.name} is a JSON {_json_kind(values)}; a .json file of rows is an array of objects."
        )
    for number, value in enumerate(values, 1):
        yield (
            number,
            value if isinstance(value, dict) else Breach("malformed_row", f"a JSON {_json_kind(value)}, not an object"),
        )


def _csv_records(text: io.TextIOWrapper, path: Path, delimiter: str | None) -> Iterator[Record]:
    csv.field_size_limit(sys.maxsize)
    head = text.readline()
    reader = csv.reader(_chain(head, text), delimiter=delimiter or max(",;\t", key=head.count), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as fault:
        raise DatasetRefused(f"{path.name}: its header cannot be read: {fault}.") from fault
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DatasetRefused(
            f"{path.name}: column {', '.join(map(repr, twice))} appears more than once in the header. Rename one."
        )
    number = 0
    while True:
        try:
            fields = next(reader, None)
        except csv.Error as fault:
            number += 1
            if "unexpected end" in str(fault):
                raise DatasetRefused(
                    f"{path.name}: row {number} opens a quote that is never closed, so no row after it can be read. "
                    "Close it."
                ) from fault
            yield number, Breach("malformed_row", f"not CSV: {fault}")
            continue
        if fields is None:
            return
        if fields:
            number += 1
            yield number, _csv_record(header, fields)


def _chain(head: str, rest: Iterator[str]) -> Iterator[str]:
    yield head
    yield from rest


def _csv_record(header: list[str], fields: list[str]) -> dict[str, Any] | Breach:
    if len(fields) != len(header):
        return Breach("malformed_row", f"{len(fields)} fields, but the header has {len(header)}")
    if any(not field.isascii() and any("\udc80" <= letter <= "\udcff" for letter in field) for field in fields):
        return Breach("wrong_encoding", "a byte of this row is not UTF-8")
    return dict(zip(header, fields, strict=True))


def _parquet_records(path: Path) -> Iterator[Record]:
    import polars as pl

    start = 0
    try:
        while not (frame := pl.scan_parquet(path, glob=False).slice(start, SLICE).collect()).is_empty():
            yield from enumerate(frame.iter_rows(named=True), start + 1)
            start += SLICE
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as fault:
        raise DatasetRefused(f"{path.name} cannot be read as Parquet: {str(fault).splitlines()[0][:200]}.") from fault
