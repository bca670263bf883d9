"""tool_call: the right tools with the right arguments, or no call where none is wanted."""

from __future__ import annotations

import json
from itertools import zip_longest
from typing import Any

from tasks.answers.calls import read_calls
from tasks.answers.metrics.json_fields import judged_fields


def tool_call(output: str, gold: str) -> float:
    """Return the mean over calls, in their order: 0 for another tool, else the share of equal fields of the name and
    the arguments. A missing or further call counts 0.

    Words beside a call count 0 where the reference has none, and so does a call where no call is wanted; any text
    without a call is right there.
    """
    (given, said), (wanted, beside) = read_calls(output), read_calls(gold)
    if not wanted:
        return float(not given)
    if said and not beside:
        return 0.0
    pairs = list(zip_longest(given, wanted))
    return sum(_equal(one, other) for one, other in pairs) / len(pairs)


def _equal(given: dict[str, Any] | None, wanted: dict[str, Any] | None) -> float:
    if given is None or wanted is None or given["name"] != wanted["name"]:
        return 0.0
    fields = judged_fields(json.dumps(given), json.dumps(wanted)) or {}
    return sum(fields.values()) / max(1, len(fields))
