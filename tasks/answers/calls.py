"""Tool calls in an answer, in whatever way a chat template writes them: JSON objects with a name and arguments."""

from __future__ import annotations

import json
import re
from typing import Any

# What templates write around calls: <tool_call>, [TOOL_CALLS], <|python_tag|>, a code fence.
MARKS = re.compile(r"<[^<>{}]*>|\[/?[A-Z_]+\]|```\w*|[\[\],;\s]")
BROKEN = re.compile(r'"(?:name|function)"\s*:.*"(?:arguments|parameters)"\s*:', re.DOTALL)
MOST_TRIES = 100  # opening braces that are tried: a text of nothing else would take quadratic time


def read_calls(text: str) -> tuple[list[dict[str, Any]], str]:
    """Return the calls in an answer, each with `name` and `arguments`, and what it says beside them and their marks."""
    calls, rest, done = list[dict[str, Any]](), "", 0
    for brace in [found.start() for found in re.finditer(r"\{", text)][:MOST_TRIES]:
        if brace < done:
            continue
        try:
            value, end = json.JSONDecoder().raw_decode(text, brace)
        except (ValueError, RecursionError):
            continue
        if (call := _call(value)) is not None:
            calls.append(call)
            rest, done = rest + text[done:brace], end
    return calls, MARKS.sub("", rest + text[done:]) if calls else text


def is_broken(text: str) -> bool:
    """Return whether an answer without calls looks like one whose JSON is damaged."""
    return BROKEN.search(text) is not None


def _call(value: Any) -> dict[str, Any] | None:
    inner = value.get("function", value) if isinstance(value, dict) else None
    if not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
        return None
    arguments = inner.get("arguments", inner.get("parameters"))
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except ValueError:
            return None
    return {"name": inner["name"], "arguments": arguments} if isinstance(arguments, dict) else None
