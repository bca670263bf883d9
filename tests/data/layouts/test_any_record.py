"""Whatever a record or a JSON document holds: texts or a reason, every column with what became of it, no traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import DatasetRefused
from schemas.sections.data import DataConfig
from tasks.answers.contract import Breach
from tasks.data.checking.reasons import REASONS
from tasks.data.layouts.conversations import Turns
from tasks.data.layouts.converting import Converter
from tasks.data.layouts.layouts import detected
from tasks.data.layouts.ledger import Ledger
from tasks.data.layouts.wrapped import unwrapped
from tasks.data.reading.fetching import as_line
from tasks.data.reading.records import read_records

KEYS = [
    "messages",
    "conversations",
    "contents",
    "prompt",
    "completion",
    "question",
    "answer",
    "answers",
    "instruction",
    "input",
    "output",
    "context",
    "history",
    "system",
    "systemInstruction",
    "tools",
    "chosen",
    "label",
    "weight",
    "choices",
    "images",
    "role",
    "content",
    "from",
    "value",
    "parts",
    "text",
    "type",
    "thinking",
    "user",
    "assistant",
    "request",
    "response",
    "body",
    "row",
    "row_idx",
    "data",
    "columns",
    "paragraphs",
    "qas",
    "sentences",
    "sql",
    "variables",
    "x",
]
WORDS = st.sampled_from(
    ["user", "assistant", "system", "human", "gpt", "tool", "text", "", " ", "0", "[1]", '{"a": 1}']
)
PLAIN = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=True) | st.text(max_size=3) | WORDS
ANYTHING = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=10,
)
RECORDS = st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=2), ANYTHING, max_size=5)
SETTINGS = st.sampled_from(
    [
        {},
        {"prompt": "question"},
        {"messages": "x"},
        {"input": "context"},
        {"system_in_request": True},
        {"labels": ["a"]},
    ]
)


@pytest.mark.slow
@settings(deadline=None, max_examples=400)
@given(st.lists(RECORDS, min_size=1, max_size=3), SETTINGS)
def test_any_record_becomes_texts_or_a_reason(records: list[dict[str, Any]], given_settings: dict[str, Any]) -> None:
    data = DataConfig(source="x", **given_settings)
    read = [record for record in map(unwrapped, records) if isinstance(record, dict)]
    convert, ledger = Converter(detected(read, data), data), Ledger(data, as_line)
    ledger.note(read, convert, {})
    for record in read:
        made = convert(record)
        if isinstance(made, Breach):
            assert made.reason in REASONS
            continue
        assert isinstance(made, Turns)
        texts = (made.prompt, made.completion, made.given, made.system, *made.history, *made.also)
        assert all(isinstance(text, str | None) for text in texts)
    assert {column["column"] for column in ledger.columns} >= {name for record in read for name in record}


@settings(deadline=None, max_examples=200)
@given(document=ANYTHING)
def test_any_json_document_becomes_records_or_is_refused(document: Any, tmp_path_factory: Any) -> None:
    path: Path = tmp_path_factory.mktemp("any") / "rows.json"
    path.write_text(json.dumps(document).replace("NaN", "null").replace("Infinity", "1"), encoding="utf-8")
    try:
        records = list(read_records(path, ".json"))
    except DatasetRefused as refused:
        assert str(refused).startswith("rows.json is ") or "appears twice" in str(refused)
        return
    assert [number for number, _ in records] == list(range(1, len(records) + 1))
    assert all(isinstance(record, dict | Breach) for _, record in records)
