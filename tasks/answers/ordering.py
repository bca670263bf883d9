"""ORDER BY of a query: which rows it leaves in any order, because their ordering keys are equal."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from tasks.answers.database import Database, QueryFailed, Row, comparable

MARKS = re.compile(
    r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|\[[^\]]*\]|--[^\n]*|/\*.*?\*/|(?P<open>\()|(?P<close>\))|(?P<comma>,)"
    r"|\b(?:(?P<order>order\s+by)|(?P<from>from)|(?P<limit>limit)|(?P<hard>offset|distinct|union|intersect|except))\b",
    re.IGNORECASE | re.DOTALL,
)
DIRECTION = re.compile(r"\s+(?:asc|desc|nulls\s+(?:first|last))\s*\Z", re.IGNORECASE)


@dataclass(frozen=True)
class Mark:
    """A word or sign of the outermost SELECT: its kind (a group of MARKS) and its place."""

    kind: str
    start: int
    end: int


def marks_in(query: str) -> Iterator[Mark]:
    """Yield the marks outside parentheses, literals and comments."""
    depth = 0
    for found in MARKS.finditer(query):
        kind = found.lastgroup or ""
        depth += 1 if kind == "open" else -1 if kind == "close" else 0
        if depth == 0 and kind not in ("", "open", "close"):
            yield Mark(kind, found.start(), found.end())


def is_ordered(query: str) -> bool:
    """Tell whether the outermost SELECT has an ORDER BY."""
    return any(mark.kind == "order" for mark in marks_in(query))


def ties_of(database: Database, query: str) -> list[Counter[Row]] | None:
    """Return the rows of an ordered query in runs of equal ordering keys, those that its LIMIT cuts off included.

    None where the keys cannot be told: with OFFSET, COLLATE, or keys beside DISTINCT or a compound that are no columns.
    """
    try:
        keyed = _with_keys(query.strip().rstrip(";"), database.names(query))
        rows = [comparable(row) for row in database.rows(keyed[0])] if keyed else []
    except QueryFailed:
        return None
    if keyed is None:
        return None
    _, keys, width = keyed
    runs = groupby(rows, lambda row: [row[key] for key in keys])
    return [Counter(row[:width] for row in run) for _, run in runs]


def is_legal_order(rows: Sequence[Row], ties: list[Counter[Row]]) -> bool:
    """Tell whether rows are in an order that the query allows: those of equal keys stand in any order, and any of them
    may be the ones that its LIMIT leaves.
    """
    place = 0
    for tied in ties:
        run = Counter(rows[place : place + tied.total()])
        if not run <= tied:
            return False
        place += run.total()
    return place == len(rows)


def _with_keys(query: str, names: list[str]) -> tuple[str, list[int], int] | None:
    """Return a query without LIMIT but with its ordering keys among its columns, which those are, and its own count."""
    marks = list(marks_in(query))
    order = next(mark for mark in reversed(marks) if mark.kind == "order")
    limit = next((mark for mark in marks if mark.kind == "limit" and mark.start > order.end), None)
    end = limit.start if limit else len(query)
    if any(mark.start > end and mark.kind in ("comma", "hard") for mark in marks) or "collate" in query.lower():
        return None
    commas = [mark for mark in marks if mark.kind == "comma" and order.end < mark.start < end]
    ends = [order.end, *(mark.end for mark in commas)]
    terms = [query[one:other].strip().rstrip(",") for one, other in zip(ends, [*ends[1:], end], strict=True)]
    keys, added = _key_columns([DIRECTION.sub("", DIRECTION.sub("", f" {term}")).strip() for term in terms], names)
    start = next((mark.start for mark in marks if mark.kind == "from"), None)
    if added and (start is None or any(mark.kind == "hard" for mark in marks)):
        return None
    more = "".join(f", {term}" for term in added)
    return f"{query[:start]}{more} {query[start:end]}" if added else query[:end], keys, len(names)


def _key_columns(terms: list[str], names: list[str]) -> tuple[list[int], list[str]]:
    """Return the column of every ordering term, and the terms that have to be added as columns."""
    keys, added, folded = list[int](), list[str](), [name.casefold() for name in names]
    for term in terms:
        name = term.strip('"`[]').casefold()
        if term.isdigit():
            keys.append(int(term) - 1)
        elif name in folded:
            keys.append(folded.index(name))
        else:
            keys.append(len(names) + len(added))
            added.append(term)
    return keys, added
