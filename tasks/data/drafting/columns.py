"""What the columns of some records hold, told from their names and values."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tasks.answers.objects import NotAnObject, read_object

Kind = Literal["text", "number", "true or false", "list", "object", "conversation", "nothing"]
SHOWN = 60  # characters of a value that are shown
LABELS = 200  # different values above which a column holds no labels
LABEL_CHARACTERS = 60
MOSTLY = 0.9  # share of values that makes a column what most of it is
NUMBER = re.compile(r"\s*[-+]?[\d.,]+\s*")
MARK = re.compile(r"\s*(https?://\S+|\d{4}-\d\d-\d\d([ T][\d:.+Z-]+)?|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27})\s*")
QUERY = re.compile(
    r"[\s(]*(with\s+(recursive\s+)?\w+\s*(\([^)]*\)\s*)?as\s*\(|select\b.*\bfrom\b|select\s+[\d'\"(])",
    re.IGNORECASE | re.DOTALL,
)
WORD = re.compile(r"[A-Z]?[a-zà-ÿ]+|[A-Z]+(?![a-z])|\d+")


@dataclass(frozen=True)
class Column:
    """One column: what most of its values are.

    Attributes:
        name: as the records have it.
        kind: of its values.
        filled: share of the rows that have a value in it.
        distinct: different values.
        example: the beginning of its first value.
        largest: share of the most frequent value.
        is_labels: few different short texts, each of them many times.
        is_sql: its texts begin as a query does.
        is_json: its texts spell JSON objects.
        is_mark: its texts are numbers, dates, addresses or identifiers: no language.
    """

    name: str
    kind: Kind
    filled: float
    distinct: int
    example: str
    largest: float
    is_labels: bool = False
    is_sql: bool = False
    is_json: bool = False
    is_mark: bool = False

    @property
    def is_telling(self) -> bool:
        """Whether it may be a request or an answer: text that is not the same everywhere, and no name of a split."""
        return self.kind == "text" and self.distinct > 1 and self.head != "split"

    @property
    def in_words(self) -> str:
        """What it holds, for a question about it."""
        what = "labels" if self.is_labels else "SQL" if self.is_sql else "JSON" if self.is_json else self.kind
        filled = "" if self.filled > 0.995 else f", in {self.filled:.0%} of the rows"
        return f"{self.name!r}: {what}, {self.distinct:,} different{filled}, such as {self.example}"

    @property
    def words(self) -> list[str]:
        """The words of its name in lower case, without a plural's s: "Best Answers" -> best, answer."""
        return [word.lower().removesuffix("s") for word in WORD.findall(self.name)] or [self.name.lower()]

    @property
    def head(self) -> str:
        """The last word of its name, which says what it is: "user_question" is a question."""
        return self.words[-1]


def columns_in(records: Sequence[dict[str, Any]]) -> list[Column]:
    """Return the columns of records in the order in which they first come."""
    names = dict.fromkeys(name for record in records for name in record)
    return [_column(name, [record[name] for record in records if record.get(name) not in (None, "")], len(records))
            for name in names]  # fmt: skip


def _column(name: str, values: list[Any], rows: int) -> Column:
    kind = Counter(map(_kind, values)).most_common(1)[0][0] if values else "nothing"
    texts = [value for value in values if isinstance(value, str)]
    counts = Counter(value if isinstance(value, str) else repr(value) for value in values)
    shown = " ".join(str(values[0]).split()) if values else ""
    example = f'"{shown[:SHOWN]}{"…" if len(shown) > SHOWN else ""}"'
    facts = (len(values) / rows, len(counts), example, max(counts.values(), default=0) / rows)
    if kind != "text":
        return Column(name, kind, *facts)
    is_json, is_sql = mostly(texts, spells_object), mostly(texts, is_query)
    is_mark = mostly(texts, lambda text: bool(NUMBER.fullmatch(text) or MARK.fullmatch(text)))
    return Column(name, kind, *facts, are_labels(texts) and not is_json, is_sql, is_json, is_mark)


def _kind(value: Any) -> Kind:
    if isinstance(value, list):
        spoken = value and all(isinstance(turn, dict) and {"role", "from"} & turn.keys() for turn in value)
        return "conversation" if spoken else "list"
    kinds: dict[type, Kind] = {str: "text", bool: "true or false", int: "number", float: "number", dict: "object"}
    return kinds.get(type(value), "object")


def mostly(texts: Iterable[str], holds: Callable[[str], bool]) -> bool:
    """Return whether nearly all texts are so."""
    found = [holds(text) for text in texts]
    return bool(found) and sum(found) >= MOSTLY * len(found)


def are_labels(texts: Sequence[str]) -> bool:
    """Return whether texts are few, short, and come again: values of a fixed set."""
    counts = Counter(text.strip() for text in texts)
    return (
        2 <= len(counts) <= LABELS
        and 4 * len(counts) <= len(texts)
        and all(0 < len(label) <= LABEL_CHARACTERS and "\n" not in label for label in counts)
    )


def is_query(text: str) -> bool:
    """Return whether a text begins as a query does: `WITH name AS (`, or a SELECT that takes from something."""
    return bool(QUERY.match(text))


def spells_object(text: str) -> bool:
    """Return whether a text is one JSON object."""
    try:
        return text.lstrip().startswith("{") and bool(read_object(text))
    except NotAnObject:
        return False
