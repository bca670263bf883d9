r"""CSV as Excel, pandas and databases write it: the separator by which the lines agree, quotes doubled or escaped by
backslash, `sep=;` as first line, blank rows and columns without a name passed over and counted.
"""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import IO, Any

from schemas.errors import DatasetRefused
from tasks.answers.contract import Breach

SEPARATORS = ",;\t|"
JUDGED = 200  # lines that the separator is told from
NAMES = {"\t": "a tab", " ": "a space"}


@dataclass(frozen=True)
class Dialect:
    """How a file separates fields; `escape` is the mark before a quote inside quotes, None where it is doubled."""

    separator: str
    escape: str | None = None

    def reader(self, lines: Iterator[str]) -> Any:
        """Return the csv module's reader of some lines."""
        return csv.reader(
            lines, delimiter=self.separator, escapechar=self.escape, doublequote=self.escape is None, strict=True
        )

    @property
    def in_words(self) -> str:
        """The separator as a message names it."""
        return NAMES.get(self.separator, repr(self.separator))


def csv_records(
    text: IO[str], name: str, separator: str | None, passed_over: Counter[str]
) -> Iterator[tuple[int, dict[str, Any] | Breach]]:
    """Yield the rows below the header, numbered from 1.

    Args:
        text: the file, bytes that are no UTF-8 as surrogates.
        name: the file's, for messages.
        separator: as the config names it, or None to tell it from the lines.
        passed_over: takes the number of blank rows, and of columns without a name.

    Raises:
        DatasetRefused: the header cannot be read, or a quote is never closed.
    """
    csv.field_size_limit(sys.maxsize)
    first = list(islice(text, JUDGED))
    if first and first[0].lower().startswith("sep=") and len(first[0].rstrip("\r\n")) == len("sep=;"):
        separator = separator or first[0][4]
        first = first[1:]
    dialect = dialect_of(first, separator)
    reader = dialect.reader(chain(first, text))
    header = _header(reader, name, dialect)
    passed_over["columns without a name"] += header.count("")
    number = 0
    while (fields := _next(reader, name, number + 1)) is not None:
        if isinstance(fields, list) and not any(field.strip() for field in fields):
            number += bool(fields)
            passed_over["blank rows"] += bool(fields)
            continue
        number += 1
        yield number, fields if isinstance(fields, Breach) else _record(header, fields, dialect)


def dialect_of(lines: list[str], separator: str | None) -> Dialect:
    """Return the dialect by which most lines have as many fields as the header; a comma if none has two fields."""
    escapes = [None, "\\"] if any('\\"' in line for line in lines) else [None]
    able = [Dialect(sign, escape) for escape in escapes for sign in separator or SEPARATORS]
    agreement = [_agreement(dialect, lines) for dialect in able]
    return able[agreement.index(max(agreement))]


def _agreement(dialect: Dialect, lines: list[str]) -> float:
    """Return the share of rows with as many fields as the header; 0 if that has one only."""
    reader, widths = dialect.reader(iter(lines)), list[int]()
    while True:
        try:
            fields = next(reader, None)
        except csv.Error:
            if not widths:
                return 0.0
            widths.append(0)
            continue
        if fields is None:
            break
        if fields and (any(fields) or not widths):
            widths.append(len(fields))
    return sum(width == widths[0] for width in widths) / len(widths) if widths and widths[0] > 1 else 0.0


def _header(reader: Any, name: str, dialect: Dialect) -> list[str]:
    try:
        header = [field.strip() for field in next(reader, [])]
    except csv.Error as fault:
        raise DatasetRefused(
            f"{name}: its header cannot be read with {dialect.in_words} as separator: {fault}. Name another in "
            "data.separator."
        ) from fault
    twice = sorted({field for field in header if field and header.count(field) > 1})
    if twice:
        raise DatasetRefused(
            f"{name}: column {', '.join(map(repr, twice))} appears more than once in the header. Rename one."
        )
    return header


def _next(reader: Any, name: str, number: int) -> list[str] | Breach | None:
    try:
        fields: list[str] | None = next(reader, None)
    except csv.Error as fault:
        if "unexpected end" in str(fault):
            raise DatasetRefused(
                f"{name}: row {number} opens a quote that is never closed, so no row after it can be read. Close it."
            ) from fault
        return Breach("malformed_row", f"not CSV: {fault}")
    return fields


def _record(header: list[str], fields: list[str], dialect: Dialect) -> dict[str, Any] | Breach:
    if len(fields) < len(header) or any(field.strip() for field in fields[len(header) :]):
        counted = f"{len(fields)} fields, but the header has {len(header)}"
        return Breach("malformed_row", f"{counted} (separated by {dialect.in_words})")
    if any(not field.isascii() and any("\udc80" <= letter <= "\udcff" for letter in field) for field in fields):
        return Breach("wrong_encoding", "a byte of this row is not UTF-8")
    named = enumerate(zip(header, fields, strict=False), 1)
    return {name or f"column {place}": field for place, (name, field) in named if name or field.strip()}
