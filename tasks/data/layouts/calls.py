"""Tool calls, the tools that may be called, and the results, in the forms in which records hold them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tasks.data.layouts.known_names import is_filled
from tasks.data.layouts.values import Unread, parsed, text_of


def read_calls(value: object) -> list[dict[str, Any]]:
    """Return tool calls, whose arguments may be JSON text, each as its name and its arguments.

    Raises:
        Unread: the value holds no calls.
    """
    value = parsed(value)
    calls = [_call(parsed(call)) for call in (value if isinstance(value, list) else [value])]
    if not calls or None in calls:
        raise Unread("tools", "a call has no name with an object of arguments")
    return [call for call in calls if call]


def _call(call: object) -> dict[str, Any] | None:
    inner = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
        return None
    arguments = parsed(next((inner[key] for key in ("arguments", "parameters", "args", "input") if key in inner), {}))
    arguments = arguments if is_filled(arguments) else {}
    return {"name": inner["name"], "arguments": arguments} if isinstance(arguments, dict) else None


def tools_of(value: object) -> str | None:
    """Return the tools that a value offers, as a JSON list in the form of chat templates; None if it offers none.

    Raises:
        Unread: it holds anything else.
    """
    value = parsed(value)
    tools = value if isinstance(value, list) else [value] if isinstance(value, dict) else None
    if not is_filled(value):
        return None
    if tools is None or not all(isinstance(tool, dict) and isinstance(_named(tool), str) for tool in tools):
        raise Unread("tools", "the tools are no JSON list of objects with a name")
    return json.dumps(
        [tool if "function" in tool else {"type": "function", "function": tool} for tool in tools], ensure_ascii=False
    )


def _named(tool: Mapping[str, Any]) -> object:
    inner = tool.get("function", tool)
    return inner.get("name") if isinstance(inner, dict) else None


def result_of(content: object) -> str | None:
    """Return the result of a call as text."""
    try:
        return text_of(content)
    except Unread:
        return json.dumps(content, ensure_ascii=False)
