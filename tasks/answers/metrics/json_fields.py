"""json_fields: the share of equal fields among the fields of both objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tasks.answers.metrics.numeric import is_close
from tasks.answers.objects import NotAnObject, leaves, read_object

Same = Callable[[Any, Any], bool]


def json_fields(output: str, gold: str, tolerance: float = 0.0, *, lists_are_sets: bool = False) -> float:
    """Return the share of equal fields; 0 if the output is not a JSON object.

    A nested object counts field by field, a list as one value. An extra field costs as much as a missing one.

    Args:
        output: the answer.
        gold: the reference.
        tolerance: by which share of the reference a number may differ.
        lists_are_sets: neither the order of a list nor repeated items count.
    """
    fields = judged_fields(output, gold, tolerance, lists_are_sets=lists_are_sets)
    if fields is None:
        return 0.0
    return sum(fields.values()) / len(fields) if fields else 1.0


def judged_fields(
    output: str, gold: str, tolerance: float = 0.0, *, lists_are_sets: bool = False
) -> dict[str, bool] | None:
    """Return every field of both objects and whether it is equal; None where one is not an object."""
    try:
        given, wanted = (dict(leaves(read_object(text))) for text in (output, gold))
    except (NotAnObject, RecursionError):
        return None
    same = _same(tolerance, lists_are_sets)
    return {
        field: field in given and field in wanted and same(given[field], wanted[field]) for field in (wanted | given)
    }


def _same(tolerance: float, lists_are_sets: bool) -> Same:
    """Return whether two JSON values are equal: true is not 1, but 1 is 1.0."""

    def has(items: Iterable[Any], wanted: Any) -> bool:
        return any(same(item, wanted) for item in items)

    def same(one: Any, other: Any) -> bool:
        if isinstance(one, bool) or isinstance(other, bool):
            return one is other
        if isinstance(one, list) and isinstance(other, list):
            if lists_are_sets:
                return all(has(one, item) for item in other) and all(any(same(item, o) for o in other) for item in one)
            return len(one) == len(other) and all(map(same, one, other))
        if isinstance(one, dict) and isinstance(other, dict):
            return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
        if isinstance(one, (int, float)) and isinstance(other, (int, float)):
            return is_close(one, other, tolerance)
        return bool(one == other)

    return same
