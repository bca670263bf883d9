"""Tools in a conversation: how turns with calls and results are written in rows, and how a chat template takes them.

A turn of a row is a text. In a row with tools a turn that calls one is the JSON object {"name", "arguments"}, a list of
them where it calls several, or {"content", "tool_calls"} where it says something too; a turn in the user's place that
brings results is {"tool_results": [...]}. Templates differ in how they want calls handed over, so each is tried.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.errors import ConfigRefused

Message = dict[str, Any]
Call = dict[str, Any]

TOOL = {
    "type": "function",
    "function": {
        "name": "zqtool",
        "description": "zqtool",
        "parameters": {"type": "object", "properties": {"zqarg": {"type": "string", "description": "zqarg"}}},
    },
}
PROBE = {"name": "zqtool", "arguments": {"zqarg": "zqvalue"}}


def calling(calls: Sequence[Call], content: str | None = None) -> str:
    """Return a turn that calls tools, with what it says beside that, as the text of a row."""
    if content and content.strip():
        return _json({"content": content, "tool_calls": list(calls)})
    return _json(calls[0] if len(calls) == 1 else list(calls))


def resulting(results: Sequence[str | None]) -> str:
    """Return a turn that brings the results of calls as the text of a row."""
    return _json({"tool_results": list(results)})


def calls_of(text: str) -> tuple[list[Call], str]:
    """Return the calls of a turn and what it says beside them; no call if it is plain text."""
    value = _value(text)
    calls, content = value if isinstance(value, list) else [value], ""
    if isinstance(value, dict) and value.keys() == {"content", "tool_calls"}:
        calls, content = value["tool_calls"], value["content"]
    is_call = [isinstance(call, dict) and call.keys() == {"name", "arguments"} for call in calls]
    return (calls, content) if calls and all(is_call) else ([], text)


def as_messages(turns: Sequence[str], is_answer: bool = False) -> list[Message]:
    """Return the messages of the turns of a row with tools, a request first; an answer first if `is_answer`."""
    return list(_messages(turns, is_answer))


def _messages(turns: Sequence[str], is_answer: bool) -> Iterator[Message]:
    numbers, called = itertools.count(), list[Message]()
    for place, text in enumerate(turns, start=int(is_answer)):
        if place % 2:
            calls, content = calls_of(text)
            called = [{"id": f"call{next(numbers):05d}", "type": "function", "function": call} for call in calls]
            yield {"role": "assistant", "content": content} | ({"tool_calls": called} if calls else {})
            continue
        value = _value(text)
        if not (isinstance(value, dict) and value.keys() == {"tool_results"}):
            yield {"role": "user", "content": text}
            continue
        for number, result in enumerate(value["tool_results"]):
            message = {"role": "tool", "content": result or ""}
            call = called[min(number, len(called) - 1)] if called else None
            yield message | ({"name": call["function"]["name"], "tool_call_id": call["id"]} if call else {})


@dataclass(frozen=True)
class CallForm:
    """How a template wants a call: the content beside it, and whether its arguments are JSON text."""

    content: str | None
    is_text: bool

    def __call__(self, messages: Sequence[Message]) -> list[Message]:
        """Return the messages with their calls in this form."""
        return [self._formed(message) if message.get("tool_calls") else message for message in messages]

    def _formed(self, message: Message) -> Message:
        calls = [
            {**call, "function": {**call["function"], "arguments": _json(call["function"]["arguments"])}}
            if self.is_text
            else call
            for call in message["tool_calls"]
        ]
        return {**message, "content": message["content"] or self.content, "tool_calls": calls}


def call_form(render: Callable[[list[Message]], str]) -> CallForm:
    """Return the form in which a template takes calls; `render` renders messages, with the `tools` of the first one.

    Raises:
        ConfigRefused: the template has no place for tools, calls or results.
    """
    from jinja2.exceptions import TemplateError

    asked: list[Message] = [{"role": "user", "content": "u", "tools": [TOOL]}]
    turns = as_messages([calling([PROBE]), resulting(["zqresult"]), "a"], is_answer=True)
    for content, is_text in itertools.product(("", None), (False, True)):
        form = CallForm(content, is_text)
        try:
            text = render([*asked, *form(turns)])
        except (TemplateError, TypeError):  # jinja concatenates text with an object, or looks into None
            continue
        if re.search(r'"zqarg":\s*"zqvalue"', text) and "zqresult" in text and text.count("zqtool") >= 3:
            return form
    raise ConfigRefused(
        "base.model: this model's chat template has no place for tools, their calls and results, and the rows have "
        "some. Name a model that was trained to call tools, or leave them out with data.ignore."
    )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _value(text: str) -> Any:
    try:
        return json.loads(text) if text.lstrip().startswith(("{", "[")) else None
    except (ValueError, RecursionError):
        return None
