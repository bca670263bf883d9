"""A SQLite database that answers are run on: read-only, one query at a time, with a limit on the work.

The limit counts SQLite's own steps, not seconds, so that the result does not depend on the machine's speed.
Nondeterministic functions are refused for the same reason.
"""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from urllib.parse import quote

from schemas.errors import ConfigRefused

Row = tuple[object, ...]

STEPS_A_CALL = 100_000
CALLS = 200  # 20 million steps: a fifth of a second to a second
MOST_ROWS = 100_000
LONGEST_VALUE = 1_000_000  # bytes; a larger text or blob only serves to fill memory
REFUSED_FUNCTIONS = frozenset({"load_extension", "random", "randomblob", "fts3_tokenizer"})
START = re.compile(r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/|\()*(?:select|with)\b", re.IGNORECASE | re.DOTALL)


class QueryFailed(Exception):
    """Raised if a query is refused or fails; the message quotes nothing of the query."""


class Database:
    """A database that is only read."""

    def __init__(self, file: Path, name: str) -> None:
        """Open `file`; `name` is what the user calls it.

        Raises:
            ConfigRefused: it is not a SQLite database, or has no table.
        """
        try:
            # immutable: the file is in a sealed folder, where SQLite could not create a lock or a journal.
            self._connection = sqlite3.connect(
                f"file:{quote(str(file.absolute()))}?mode=ro&immutable=1", uri=True, isolation_level=None
            )
            tables = self._connection.execute(
                "SELECT count(*) FROM sqlite_master WHERE type IN ('table', 'view')"
            ).fetchone()[0]
        except sqlite3.Error as fault:
            raise ConfigRefused(
                f"task.answer.database: {name} cannot be read as a SQLite database: {fault}."
            ) from fault
        if not tables:
            raise ConfigRefused(f"task.answer.database: {name} has no table, so no query can be run on it.")
        self._guard()

    def _guard(self) -> None:
        self._connection.text_factory = lambda value: value.decode(errors="surrogateescape")
        self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
        self._connection.set_authorizer(_authorize)
        self._connection.set_progress_handler(self._count, STEPS_A_CALL)
        self._calls = 0

    def _count(self) -> bool:
        self._calls += 1
        return self._calls > CALLS

    def rows(self, query: str) -> list[Row]:
        """Return the rows of one query.

        Raises:
            QueryFailed: it is not one SELECT (or WITH), does more than read, fails, or takes too much work.
        """
        if not START.match(query):
            raise QueryFailed("is not a SELECT")
        self._calls = 0
        try:
            cursor = self._connection.execute(query)
            rows: list[Row] = cursor.fetchmany(MOST_ROWS + 1)
            cursor.close()
        except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError, MemoryError) as fault:
            raise QueryFailed(
                "takes more than 20 million steps" if self._calls > CALLS else _without_quotes(str(fault))
            ) from fault
        if len(rows) > MOST_ROWS:
            raise QueryFailed(f"returns more than {MOST_ROWS} rows")
        return rows

    def names(self, query: str) -> list[str]:
        """Return the names of a query's columns; it has to be one that `rows` has run."""
        self._calls = 0
        cursor = self._connection.execute(query)
        found = [column[0] for column in cursor.description]
        cursor.close()
        return found


def _authorize(action: int, first: str | None, second: str | None, database: str | None, source: str | None) -> int:
    if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE):
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() not in REFUSED_FUNCTIONS:
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def _without_quotes(message: str) -> str:
    """Return SQLite's message without its quotations from the query, which may be private data."""
    return re.sub(r'"[^"]*"', '"…"', message).split(": ")[0 if message.startswith("no such") else -1]


def comparable(row: Row) -> Row:
    """Return a row with comparable numbers: 3.0 becomes 3; floats have ten digits, as sums depend on their order."""
    return tuple(_rounded(value) if isinstance(value, float) else value for value in row)


def _rounded(value: float) -> object:
    short = float(f"{value:.10g}")
    return int(short) if short.is_integer() else short
