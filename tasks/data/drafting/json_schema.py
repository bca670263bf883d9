"""A JSON Schema of objects, as narrow as they are: every value of a task's answers that comes again may be a fixed set,
and a key that all of them have is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

VALUES = 20  # different texts above which a field has no fixed set of values
KEYS = 60  # different keys above which an object is a mapping from names that nobody knows before
TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}


def schema_of(objects: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the schema that all of these objects keep."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_object(objects)}


def _object(objects: Sequence[dict[str, Any]]) -> dict[str, Any]:
    keys = list(dict.fromkeys(key for value in objects for key in value))
    if len(keys) > KEYS:
        return {"type": "object"}
    return {
        "type": "object",
        "properties": {key: _value([value[key] for value in objects if key in value]) for key in keys},
        "required": [key for key in keys if all(key in value for value in objects)],
        "additionalProperties": False,
    }


def _value(values: Sequence[Any]) -> dict[str, Any]:
    objects = [value for value in values if isinstance(value, dict)]
    arrays = [value for value in values if isinstance(value, list)]
    plain = [value for value in values if not isinstance(value, dict | list)]
    forms = [_plain(plain)] if plain else []
    forms += [_object(objects)] if objects else []
    forms += [_array(arrays)] if arrays else []
    return forms[0] if len(forms) == 1 else {"anyOf": forms}


def _array(arrays: Sequence[list[Any]]) -> dict[str, Any]:
    items = [item for array in arrays for item in array]
    return {"type": "array", "items": _value(items)} if items else {"type": "array"}


def _plain(values: Sequence[Any]) -> dict[str, Any]:
    types = sorted({TYPES[type(value)] for value in values})
    if {"integer", "number"} <= set(types):
        types.remove("integer")
    texts = sorted({value for value in values if isinstance(value, str)})
    if set(types) <= {"string", "null"} and texts and len(texts) <= VALUES and 5 * len(texts) <= len(values):
        return {"enum": [*texts, *([None] if "null" in types else [])]}
    return {"type": types[0] if len(types) == 1 else types}
