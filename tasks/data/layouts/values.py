"""What the value of a column or of a message's key says: text, or the reason why it cannot be read."""

from __future__ import annotations

from typing import Any

import orjson

from tasks.answers.contract import Breach
from tasks.data.layouts.known_names import CONTENT_KEYS, LOSS_OF, is_filled, plain

LOSS = {
    "tools": "tool calls are read from tool_calls and function_call, and from turns of tools",
    "preference": "an answer to be preferred belongs to the row, not to a message",
    "reasoning_content": "reasoning is read from a key or column of its own, not from parts of a content",
    "media": "images, sound and films are not read",
    "unread_context": "it belongs to the request and would be lost",
}


class Unread(Exception):
    """A record that cannot be read, with its reason."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.breach = Breach(reason, detail)


def lost(name: str, reason: str) -> Unread:
    """Return why a column or key whose meaning is known cannot be passed over."""
    return Unread(reason, f"{name!r} is filled: {LOSS[reason]}")


def parsed(value: object) -> object:
    """Return the list or object that a text encodes: CSV files and databases hold conversations as JSON text."""
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return value


def text_of(value: object) -> str | None:
    """Return the text of a content: text, or parts of which each is text.

    Raises:
        Unread: a part is no text, such as an image or a tool call.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, dict):
        return _part(value)
    if isinstance(value, list):
        parts = [part for part in map(text_of, value) if part]
        return "\n".join(parts)
    raise Unread("not_text", f"a content is a {type(value).__name__}, not text")


def _part(part: dict[str, Any]) -> str | None:
    names = {plain(name): value for name, value in part.items() if is_filled(value)}
    kind = plain(str(names.get("type", names.get("contenttype", "text"))))
    for name in (kind, *names):
        reason = "media" if name.startswith(("image", "video", "audio", "inputimage")) else LOSS_OF.get(name)
        reason = "tools" if name.startswith(("tool", "function")) else reason
        if reason and reason != "unread_context":
            raise lost(name, reason)
    known = [name for name in CONTENT_KEYS if name in names]
    if not known and names.keys() - {"type"}:
        raise Unread("not_text", f"a part of a content has {', '.join(map(repr, part))}, and no text")
    return text_of(names[known[0]]) if known else None


def traced(text: str | None, trace: object) -> str | None:
    """Return an answer with the reasoning before it, as models write both.

    Raises:
        Unread: the reasoning is no text.
    """
    if not is_filled(trace):
        return text
    if not isinstance(trace, str):
        raise Unread("reasoning_content", f"the reasoning is a {type(trace).__name__}, not text")
    return f"<think>\n{trace.strip()}\n</think>\n\n{text or ''}"
