"""Strict reading of JSON answers: one object, no repeated key, no NaN."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


class NotAnObject(ValueError):
    """Raised if a text is not one JSON object; the message quotes nothing of it."""


def read_object(text: str) -> dict[str, Any]:
    """Return the one JSON object that a text is.

    Raises:
        NotAnObject: it is not JSON, not an object, or repeats a key.
    """
    try:
        value = json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_refused_constant)
    except json.JSONDecodeError as fault:
        raise NotAnObject(f"{_kind(fault.msg)} at character {fault.pos + 1}") from fault
    except RecursionError as fault:
        raise NotAnObject("nested too deeply") from fault
    except NotAnObject:
        raise
    except ValueError as fault:  # a number with thousands of digits
        raise NotAnObject("a number that is too long") from fault
    if not isinstance(value, dict):
        raise NotAnObject("JSON, but not an object")
    return value


def _kind(message: str) -> str:
    return message[:1].lower() + message[1:].removesuffix(" at")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise NotAnObject("a key appears twice")
    return made


def _refused_constant(name: str) -> Any:
    raise NotAnObject(f"{name} is not JSON")


def leaves(value: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted field, value) of an object; nested objects are flattened, lists and empty objects are values."""
    for key, inner in value.items():
        name = f"{above}.{key}" if above else key
        if isinstance(inner, dict) and inner:
            yield from leaves(inner, name)
        else:
            yield name, inner
