"""sql_execution: both queries return the same rows."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path

from tasks.answers.database import Database, QueryFailed, Row, comparable
from tasks.answers.ordering import is_legal_order, is_ordered, ties_of

Rows = tuple[Row, ...]
MOST_ARRANGEMENTS = 200  # of equal columns that are tried


class SqlExecution:
    """Runs queries on one database and compares what they return."""

    def __init__(self, file: Path, *, any_column_order: bool = False) -> None:
        """Open the database; `any_column_order` lets an answer name its columns in another order."""
        self._database = Database(file, file.name)
        self._any_column_order = any_column_order
        self._wanted = functools.lru_cache(maxsize=1024)(self._reference)

    def __call__(self, output: str, gold: str) -> float:
        """Return 1 if both queries return the same rows.

        Where the reference has an ORDER BY the order counts as far as its keys say: rows of equal keys stand in any
        order, and any of them may be the ones that a LIMIT leaves. Otherwise rows are compared as a multiset. Names of
        columns do not count. An empty or failed result scores 0, even if the reference's result is empty too.
        """
        given, (wanted, ties) = self._result(output), self._wanted(gold)
        if not given or len(given) != len(wanted) or len(given[0]) != len(wanted[0]):
            return 0.0
        arranged = _arrangements(given, wanted) if self._any_column_order else [given]
        return float(any(self._is_same(rows, wanted, ties) for rows in arranged))

    def _is_same(self, given: Rows, wanted: Rows, ties: list[Counter[Row]] | bool) -> bool:
        if isinstance(ties, bool):
            return given == wanted if ties else Counter(given) == Counter(wanted)
        return is_legal_order(given, ties)

    def _reference(self, gold: str) -> tuple[Rows, list[Counter[Row]] | bool]:
        """Return the reference's rows and ties: True where ties cannot be told, False where no order counts."""
        rows = self._result(gold)
        return rows, (ties_of(self._database, gold) or True) if rows and is_ordered(gold) else False

    def _result(self, query: str) -> Rows:
        try:
            return tuple(map(comparable, self._database.rows(query)))
        except QueryFailed:
            return ()


def _arrangements(given: Rows, wanted: Rows) -> Iterator[Rows]:
    """Yield the rows as they are, then with their columns in every order that gives each the values wanted there."""
    yield given
    columns, targets = list(zip(*given, strict=True)), list(zip(*wanted, strict=True))
    values = [Counter(column) for column in columns]
    fitting = [[place for place, found in enumerate(values) if found == Counter(target)] for target in targets]
    for order in islice((one for one in product(*fitting) if len(set(one)) == len(one)), MOST_ARRANGEMENTS):
        yield tuple(zip(*(columns[place] for place in order), strict=True))
