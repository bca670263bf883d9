"""Files of rows of many forms, and what a draft of a config has to have for each."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, field
from typing import Any

import polars as pl

TOPICS = [f"{adjective} {noun}" for adjective in ("red", "slow", "new", "lost", "old") for noun in ("card", "door",
          "boat", "lamp", "desk", "cup", "shoe", "bell", "coat", "ring", "wall", "pump")]  # fmt: skip
ASKED = [f"What is wrong with the {topic} of customer {number}?" for number, topic in enumerate(TOPICS)]
SAID = [f"Please send the {topic} back to shop {number % 7}, and we repair it." for number, topic in enumerate(TOPICS)]
LABELS = ["refund", "repair", "other"]
PAIRS = list(zip(ASKED, SAID, strict=True))


def as_lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def as_csv(rows: list[dict[str, Any]], delimiter: str = ",") -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    out = io.BytesIO()
    pl.DataFrame(rows).write_parquet(out)
    return out.getvalue()


def talk(role: str, said: list[tuple[str, str]]) -> list[dict[str, str]]:
    content = {"role": "content", "from": "value"}[role]
    return [{role: who, content: text} for who, text in said]


@dataclass(frozen=True)
class Case:
    """A file of rows, and settings that its config has to have."""

    name: str
    content: bytes
    settings: dict[str, Any]
    options: list[str] = field(default_factory=list)


FORM = [
    json.dumps({"part": topic, "kind": LABELS[n % 3], "shop": n if n % 4 else None}) for n, topic in enumerate(TOPICS)
]
CASES = {
    "SQuAD's articles": Case(
        "squad.json",
        json.dumps(
            {
                "data": [
                    {
                        "paragraphs": [
                            {"context": f"It is {say}.", "qas": [{"id": ask, "question": ask, "answers": [say]}]}
                        ]
                    }
                    for ask, say in PAIRS
                ]
            }
        ).encode(),
        {"data.layout": "detected", "task.answer": {"format": "text"}},
    ),
    "choices, and the place of the right one": Case(
        "arc.jsonl",
        as_lines([{"query": ask, "choices": ["no", say], "gold": 1} for ask, say in PAIRS]),
        {"data.layout": "detected", "task.answer": {"format": "text"}},
    ),
    "conversations by another name": Case(
        "chats.jsonl",
        as_lines([{"dialog": talk("role", [("user", ask), ("assistant", say)])} for ask, say in PAIRS]),
        {"data.layout": "messages", "data.messages": "dialog"},
    ),
    "CSV with semicolons and a mark": Case(
        "tickets.csv",
        b"\xef\xbb\xbf"
        + as_csv([{"Nr": n, "Frage": ask, "Antwort": f"{say}; dann"} for n, (ask, say) in enumerate(PAIRS)], ";"),
        {"data.prompt": "Frage", "data.completion": "Antwort", "task.answer": {"format": "text"}, "name": "tickets"},
    ),
    "chat messages": Case(
        "chat.jsonl",
        as_lines(
            [
                {"messages": talk("role", [("system", "Be kind."), ("user", ask), ("assistant", say)])}
                for ask, say in PAIRS
            ]
        ),
        {"data.layout": "messages", "task.instruction": "Be kind.", "task.metric": "token_f1"},
    ),
    "alpaca": Case(
        "alpaca.json",
        json.dumps([{"instruction": ask, "input": "", "output": say} for ask, say in PAIRS]).encode(),
        {"data.layout": "alpaca", "task.answer": {"format": "text"}},
    ),
    "alpaca with one instruction": Case(
        "sum.jsonl",
        as_lines([{"instruction": "Say what to do.", "input": ask, "output": say} for ask, say in PAIRS]),
        {"data.prompt": "input", "data.completion": "output", "task.instruction": "Say what to do."},
    ),
    "labels": Case(
        "intents.csv",
        as_csv([{"text": ask, "category": LABELS[n % 3]} for n, ask in enumerate(ASKED)]),
        {"task.answer": {"format": "choice", "labels": sorted(LABELS)}, "task.metric": "exact"},
    ),
    "JSON answers": Case(
        "forms.jsonl",
        as_lines([{"prompt": ask, "completion": form} for ask, form in zip(ASKED, FORM, strict=True)]),
        {"task.answer": {"format": "json", "json_schema": "forms.schema.json"}, "task.metric": "json_fields"},
    ),
    "SQL with its database beside it": Case(
        "questions.jsonl",
        as_lines(
            [
                {"id": n, "question": ask, "query": f"SELECT topic FROM part WHERE number = {n}", "template": n % 12}
                for n, ask in enumerate(ASKED)
            ]
        ),
        {
            "task.answer": {"format": "sql", "database": "shop.sqlite"},
            "task.metric": "sql_execution",
            "data.prompt": "question",
            "data.completion": "query",
            "data.group": "template",
            "data.id": "id",
        },
    ),
    "nested Parquet": Case(
        "talks.parquet",
        as_parquet([{"messages": talk("role", [("user", ask), ("assistant", say)])} for ask, say in PAIRS]),
        {"data.layout": "messages"},
    ),
    "CSV with unusual names": Case(
        "export.csv",
        as_csv([{"bla": ask, "Warengruppe": LABELS[n % 3], "am": "2024-01-01"} for n, ask in enumerate(ASKED)]),
        {"data.prompt": "bla", "data.completion": "Warengruppe"},
        ["--task", "Waren"],
    ),
    "pretty JSON array": Case(
        "faq.json",
        json.dumps([{"Question": ask, "BestAnswer": say} for ask, say in PAIRS], indent=4).encode(),
        {"data.prompt": "Question", "data.completion": "BestAnswer"},
    ),
    "sharegpt": Case(
        "share.jsonl",
        as_lines(
            [
                {"id": f"t{n}", "conversations": talk("from", [("human", ask), ("gpt", say)])}
                for n, (ask, say) in enumerate(PAIRS)
            ]
        ),
        {"data.layout": "sharegpt", "data.id": "id"},
    ),
}
