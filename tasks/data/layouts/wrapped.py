"""JSON that wraps rows: arrays, columns as lists, pandas' and the hub's forms, logs, SQuAD's articles, variables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tasks.data.layouts.conversations import is_conversation

Rows = Iterator[object]


def rows_of(value: object) -> Rows | None:
    """Return the rows of a JSON document, objects as far as they are known to be rows; None if it holds no rows."""
    if isinstance(value, list):
        return _listed(value)
    if not isinstance(value, dict) or not value:
        return None
    if isinstance(value.get("columns"), list) and isinstance(value.get("data"), list):  # pandas, orient="split"
        return _under_header([value["columns"], *value["data"]])
    tables = [name for name, inner in value.items() if isinstance(inner, list) and inner and isinstance(inner[0], dict)]
    lengths = {len(inner) if isinstance(inner, list | dict) else -1 for inner in value.values()}
    is_columns = len(tables) < len(value) > 1 and len(lengths) == 1
    if is_columns and all(isinstance(inner, list) for inner in value.values()):
        return (dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True))
    if len(tables) == 1:
        return _listed(value[tables[0]])
    return _of_objects(value) if all(isinstance(inner, dict) for inner in value.values()) else None


def _of_objects(value: Mapping[str, Any]) -> Rows | None:
    """Yield the rows of an object of objects: row -> columns, or column -> rows as pandas writes it."""
    numbers = list(next(iter(value.values())))
    if numbers and all(number.isdecimal() for number in numbers) and not all(name.isdecimal() for name in value):
        return ({name: inner.get(number) for name, inner in value.items()} for number in numbers)
    return iter(value.values()) if all(name.isdecimal() for name in value) else None


def _listed(values: Sequence[Any]) -> Rows:
    first: Any = values[0] if values else None
    is_table = isinstance(first, list) and len(first) > 1 and all(isinstance(name, str) for name in first)
    if is_table and all(isinstance(row, list) and len(row) == len(first) for row in values):
        return _under_header(values)
    return (row for value in values for row in _expanded(value))


def _under_header(table: Sequence[Any]) -> Rows:
    header, *rows = table
    return (dict(zip(map(str, header), row, strict=False)) for row in rows)


def _expanded(value: object) -> list[object]:
    """Return the rows that an article or a query with variables holds; the value itself if it is neither."""
    if not isinstance(value, dict):
        return [value]
    try:
        if isinstance(value.get("paragraphs"), list):
            return list(_questions(value)) or [value]
        if isinstance(value.get("sentences"), list) and isinstance(value.get("sql"), list):
            return list(_sentences(value)) or [value]
    except (AttributeError, KeyError, TypeError, IndexError):  # it only has the names
        pass
    return [value]


def _questions(article: Mapping[str, Any]) -> Rows:
    """Yield the questions of one of SQuAD's articles."""
    for paragraph in article["paragraphs"]:
        for question in paragraph.get("qas", []):
            yield {"title": article.get("title"), "context": paragraph.get("context"), **question}


def _sentences(query: Mapping[str, Any]) -> Rows:
    """Yield the questions to one SQL query of text2sql-data with their variables filled in; the query is a column."""
    for sentence in query["sentences"]:
        text, sql = sentence["text"], query["sql"][0]
        for name, value in sentence.get("variables", {}).items():
            text, sql = text.replace(name, value), sql.replace(name, value)
        split = {name: part.get(name) for name, part in (("question-split", sentence), ("query-split", query))}
        yield {"question": text, "sql": sql, "template": query["sql"][0], **split}


def unwrapped(value: object) -> object:
    """Return a record unwrapped: a list of turns, a row of the hub's viewer, a logged call with its response."""
    if not isinstance(value, dict):
        return {"messages": value} if is_conversation(value) else value
    if WRAPPED.isdisjoint(value):
        return value
    if isinstance(value.get("row"), dict) and "row_idx" in value:
        return value["row"]
    asked = next((value[name] for name in ("request", "body", "input") if isinstance(value.get(name), dict)), value)
    asked = asked["body"] if isinstance(asked.get("body"), dict) else asked
    answered = next((value[name] for name in ("response", "output") if isinstance(value.get(name), dict)), value)
    answered = answered["body"] if isinstance(answered.get("body"), dict) else answered
    choices = answered.get("choices")
    if not (isinstance(asked.get("messages"), list) and isinstance(choices, list) and choices):
        return value
    message = choices[0].get("message") if isinstance(choices[0], dict) else None
    if not isinstance(message, dict):
        return value
    # What the model was set to (temperature, model) and what it used are no part of the row, and are named as not read.
    rest = {name: inner for part in (value, answered, asked) for name, inner in part.items() if name not in WRAPS}
    return {**rest, "messages": [*asked["messages"], message]}


WRAPPED = {"row_idx", "choices", "response", "output"}  # a wrapped record has one of them
WRAPS = ("request", "response", "body", "input", "output", "choices", "messages")
