"""Files as numbered records: JSON Lines, JSON, CSV, Parquet, Arrow, lines of text. A record that cannot be read becomes
a Breach; none is lost.

A record's number is where a person finds it: the line of a JSONL file, the row below the header of a CSV file, the
position in other files.
"""

from __future__ import annotations

import codecs
import io
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import orjson

from schemas.errors import DatasetRefused
from tasks.answers.contract import Breach
from tasks.data.layouts.wrapped import rows_of, unwrapped
from tasks.data.reading.csv_files import csv_records
from tasks.data.reading.decompression import open_decompressed, recoded
from tasks.data.reading.tables import arrow_records, excel_records, parquet_records

Record = tuple[int, dict[str, Any] | Breach]

LINES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
READ = (*LINES, ".parquet", ".arrow", ".xlsx", *(f"{kind}{packing}" for kind in LINES for packing in (".gz", ".zst")))
TABLES = {".parquet": parquet_records, ".arrow": arrow_records, ".xlsx": excel_records}
NESTED = (dict, list)
OTHER_ENCODINGS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


@dataclass(frozen=True)
class Form:
    """How files are to be read where their content does not say it, and what was passed over.

    `separator` is that of CSV files, `encoding` that of text (UTF-8 if None); `is_text` says that each line of any file
    is a request.
    """

    separator: str | None = None
    encoding: str | None = None
    is_text: bool = False
    passed_over: Counter[str] = field(default_factory=Counter)


def read_records(path: Path, suffix: str, form: Form | None = None) -> Iterator[Record]:
    """Yield every record of a file with its number; `suffix` is the file's, such as ".jsonl" or ".csv.gz".

    Raises:
        DatasetRefused: the file cannot be read at all: another encoding, damaged compression, an open quote.
    """
    form = form or Form()
    if suffix in TABLES:
        yield from ((number, _checked(record)) for number, record in TABLES[suffix](path))
        return
    try:
        with open_decompressed(path, suffix) as opened:
            stream = _as_utf8(opened, path, form.encoding)
            mark_bytes = len(codecs.BOM_UTF8) if stream.peek(4).startswith(codecs.BOM_UTF8) else 0
            stream.read(mark_bytes)
            kind = suffix.split(".")[1] if not form.is_text or suffix in READ else "lines"
            yield from _records_in(stream, path, kind, mark_bytes, form)
    except OSError as fault:
        raise DatasetRefused(f"{path.name} cannot be read: {fault}.") from fault


def _as_utf8(stream: io.BufferedReader, path: Path, encoding: str | None) -> io.BufferedReader:
    if encoding is not None:
        return recoded(stream, encoding)
    start = stream.peek(4)
    for mark, found in OTHER_ENCODINGS.items():
        if start.startswith(mark):
            raise DatasetRefused(
                f"{path.name} is in {found}, as its first bytes show. Save it as UTF-8, or set data.encoding: "
                f"{found.lower()}."
            )
    return stream


def _records_in(stream: IO[bytes], path: Path, kind: str, offset: int, form: Form) -> Iterator[Record]:
    if kind in ("csv", "tsv"):
        text = io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="")
        try:
            separator = form.separator or ("\t" if kind == "tsv" else None)
            yield from csv_records(text, path.name, separator, form.passed_over)
        finally:
            text.detach()
    elif kind == "json":
        yield from _json_records(stream, path)
    elif kind == "lines":
        lines = (line.decode("utf-8", "surrogateescape").rstrip("\r\n") for line in stream)
        yield from ((number, {"prompt": line}) for number, line in enumerate(lines, 1))
    else:
        yield from _jsonl_records(stream, offset)


def _jsonl_records(stream: IO[bytes], offset: int) -> Iterator[Record]:
    lines: Iterable[bytes] = stream
    if (first := stream.readline()).strip() == b"{":
        text = first + stream.read()
        if _is_spread(text):
            yield from _spread_records(text, 1, offset)
            return
        lines = io.BytesIO(text)
    elif first:
        lines = itertools.chain([first], stream)
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield number, _json_record(line, offset)
        offset += len(line)


def _is_spread(text: bytes) -> bool:
    """Tell whether a file begins with an object that goes on in the next line; one broken line of many is no such."""
    try:
        json.JSONDecoder().raw_decode(text.decode("utf-8", "surrogateescape").lstrip())
    except ValueError:
        return False
    return True


def _spread_records(text: bytes, number: int, offset: int) -> Iterator[Record]:
    """Yield objects that are spread over several lines each, by the number of their first line."""
    whole, place, decoder = text.decode("utf-8", "surrogateescape"), 0, json.JSONDecoder()
    while len(whole) > (start := place + len(whole[place:]) - len(whole[place:].lstrip(" \t\r\n,"))):
        number += whole.count("\n", place, start)
        try:
            _, place = decoder.raw_decode(whole, start)
        except ValueError as fault:
            yield number, Breach("malformed_row", f"not JSON: {fault}; what follows it was not read")
            return
        yield number, _json_record(whole[start:place].encode("utf-8", "surrogateescape"), offset)
        number += whole.count("\n", start, place)


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
    return Breach("malformed_row", twice) if (twice := _key_twice(line, value)) else _checked(value)


def _checked(value: object) -> dict[str, Any] | Breach:
    value = unwrapped(value)
    several = " (name the file .json if it is one array of rows)" if isinstance(value, list) else ""
    wrong = f"a JSON {_json_kind(value)}, not an object{several}"
    return value if isinstance(value, dict) else Breach("malformed_row", wrong)


def _key_twice(text: bytes, value: object) -> str:
    """Return that an object has a key twice, of which JSON's readers keep the last; "" if none has.

    Colons behind a quote are counted first: only where there are more of them than keys is the text read again.
    """
    if text.count(b'":') + text.count(b'" :') - text.count(b'\\":') == _keys_in(value):
        return ""
    twice = list[str]()

    def noted(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        twice.extend(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        return dict(pairs)

    json.loads(text, object_pairs_hook=noted)
    return f"key {twice[0]!r} appears twice, and only one of them can be read" if twice else ""


def _keys_in(value: object) -> int:
    if isinstance(value, dict):
        return len(value) + sum(_keys_in(inner) for inner in value.values() if inner.__class__ in NESTED)
    return sum(map(_keys_in, value)) if isinstance(value, list) else 0


def _json_kind(value: object) -> str:
    kinds = {dict: "object", list: "array", str: "text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "number")


def _json_records(stream: IO[bytes], path: Path) -> Iterator[Record]:
    text = stream.read()
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as fault:
        first = text.lstrip().partition(b"\n")[0]
        if isinstance(_json_record(first, 0), dict):  # JSON Lines by another name
            yield from _jsonl_records(io.BytesIO(text), 0)
            return
        where = f"line {fault.lineno}, column {fault.colno}"
        raise DatasetRefused(
            f"{path.name} is not JSON: {fault.msg} ({where}). Name it .jsonl if each line is an object."
        ) from fault
    if twice := _key_twice(text, value):
        raise DatasetRefused(f"{path.name}: {twice}. Rename or remove one.")
    rows = rows_of(value)
    if rows is None:
        named = f" with the keys {', '.join(list(value)[:10])}" if isinstance(value, dict) else ""
        raise DatasetRefused(
            f"{path.name} is a JSON {_json_kind(value)}{named}; a .json file of rows is an array of objects, or an "
            "object with one such array."
        )
    yield from ((number, _checked(row)) for number, row in enumerate(rows, 1))
