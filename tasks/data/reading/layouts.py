"""Layouts: the forms in which a record holds a request and its answer, converted to one kind of row.

prompt_completion   two columns, named by data.prompt and data.completion: texts, or messages with the last one in the
                    completion
messages            a list of {role, content}: an optional system message, then user and assistant in turn. The last
                    answer is the completion, the last request the prompt, and the turns before are the history
sharegpt            the same as a list of {from, value}, under `conversations`
alpaca              instruction, input (may be empty) and output
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from tasks.answers.contract import Breach

if TYPE_CHECKING:
    from schemas.sections.data import DataConfig

ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "system": "system",
}
COLUMNS = {"messages": ("messages",), "sharegpt": ("conversations",), "alpaca": ("instruction", "output")}
OPTIONAL = ("input", "system")  # read if present


@dataclass(frozen=True)
class Turns:
    """A request and its answer as a record holds them.

    `given` is the input part of the request, if its instruction has one; `history` are the requests and answers before
    it, in turn.
    """

    prompt: str | None
    completion: str | None
    given: str | None = None
    system: str | None = None
    history: tuple[str | None, ...] = ()


Convert = Callable[[dict[str, Any]], Turns | Breach]


def columns_of(layout: str, data: DataConfig) -> dict[str, str]:
    """Return setting or part -> column, for every column that a layout requires."""
    if layout == "prompt_completion":
        return {"data.prompt": data.prompt, "data.completion": data.completion}
    names = COLUMNS[layout]
    return {f"data.layout {layout}" + (f", {name}" if len(names) > 1 else ""): name for name in names}


def detected(records: Iterable[dict[str, Any]], data: DataConfig) -> str:
    """Return the layout that fits most of these records; prompt_completion if none fits any."""
    fits = Counter(
        layout
        for record in records
        for layout in ("prompt_completion", *COLUMNS)
        if set(columns_of(layout, data).values()) <= record.keys()
    )
    return max(fits, key=lambda layout: fits[layout]) if fits else "prompt_completion"


def converter(layout: str, data: DataConfig) -> Convert:
    """Return the function that converts a record of this layout, or says why it cannot."""
    needed = columns_of(layout, data).values()
    convert = {"messages": _messages, "sharegpt": _sharegpt, "alpaca": _alpaca}.get(layout)

    def checked(record: dict[str, Any]) -> Turns | Breach:
        missing = [column for column in needed if column not in record]
        if missing:
            other = detected([record], data)
            looks = (
                f"; it looks like {other}, but the file is {layout}"
                if other != layout and set(columns_of(other, data).values()) <= record.keys()
                else ""
            )
            return Breach("missing_field", f"has no {missing[0]!r}{looks}")
        return convert(record) if convert else _two_columns(record, data.prompt, data.completion)

    return checked


def _text(record: dict[str, Any], column: str) -> str | Breach | None:
    value = record.get(column)
    return (
        value
        if value is None or isinstance(value, str)
        else Breach("not_text", f"{column!r} is a {type(value).__name__}, not text")
    )


def _two_columns(record: dict[str, Any], prompt: str, completion: str) -> Turns | Breach:
    asked, answered = record.get(prompt), record.get(completion)
    if isinstance(asked, list) and asked and all(isinstance(message, dict) for message in asked):
        return _conversation(
            [*asked, *(answered if isinstance(answered, list) else [{"role": "assistant", "content": answered}])],
            "role",
            "content",
        )
    texts = _text(record, prompt), _text(record, completion)
    wrong = next((text for text in texts if isinstance(text, Breach)), None)
    return wrong or Turns(*texts)  # type: ignore[arg-type]


def _alpaca(record: dict[str, Any]) -> Turns | Breach:
    texts = [_text(record, column) for column in ("instruction", "output", "input")]
    wrong = next((text for text in texts if isinstance(text, Breach)), None)
    if wrong:
        return wrong
    instruction, output, given = (text if isinstance(text, str) else None for text in texts)
    has_input = given is not None and given.strip() != ""
    # An empty instruction is not joined with the input, so that it is found to be empty.
    prompt = f"{instruction}\n\n{given}" if has_input and (instruction or "").strip() else instruction
    return Turns(prompt, output, given if has_input else None)


def _sharegpt(record: dict[str, Any]) -> Turns | Breach:
    system = record.get("system")
    turns = _conversation(record["conversations"], "from", "value")
    return (
        replace(turns, system=system)
        if isinstance(turns, Turns) and isinstance(system, str) and system.strip()
        else turns
    )


def _messages(record: dict[str, Any]) -> Turns | Breach:
    return _conversation(record["messages"], "role", "content")


def _parsed(text: str) -> object:
    """Return the list that a text encodes: CSV files and database columns hold conversations as JSON text."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _conversation(messages: object, role: str, content: str) -> Turns | Breach:
    if isinstance(messages, str) and messages.lstrip().startswith("["):
        messages = _parsed(messages)
    if not isinstance(messages, list) or not messages:
        return Breach("wrong_roles", "has no messages")
    if not all(isinstance(message, dict) and isinstance(message.get(content), str | None) for message in messages):
        return Breach("not_text", f"a message is not an object with {role!r} and a text {content!r}")
    roles = [ROLES.get(str(message.get(role)).lower(), "unknown") for message in messages]
    texts = [message.get(content) for message in messages]
    system = texts.pop(0) if roles[0] == "system" else None
    turns = roles[1:] if roles[0] == "system" else roles
    if turns and turns == ["user", "assistant"] * (len(turns) // 2):
        return Turns(texts[-2], texts[-1], None, system, tuple(texts[:-2]))
    shown = ", ".join(roles[:6]) + (f", … {roles[-1]}" if len(roles) > 6 else "")
    return Breach("wrong_roles", f"roles are {shown}; expected are system (or none), then user and assistant in turn")
