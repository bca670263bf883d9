"""numeric: the answer is the reference number, within a tolerance."""

from __future__ import annotations

import re

NUMBER = re.compile(r"(?<![\w.,])[-+]?(?:\d{1,3}(?:,\d{3})+|\d+|(?=\.\d))(?:\.\d+)?(?:[eE][-+]?\d+)?(?!\w)")


def numeric(output: str, gold: str, tolerance: float = 0.0) -> float:
    """Return 1 if the answer is one number, 1,234.5 and 1e3 included, and differs from the last number of the reference
    by at most the share `tolerance` of it.
    """
    given, wanted = _number(output.strip()), _number(last_number(gold))
    return float(given is not None and wanted is not None and is_close(given, wanted, tolerance))


def last_number(text: str) -> str:
    """Return the last number in a text, which is where prose has its result; the text where it has none."""
    found = NUMBER.findall(text)
    return found[-1] if found else text


def is_close(given: float, wanted: float, tolerance: float) -> bool:
    """Tell whether two numbers are equal, or differ by at most a share of the wanted one."""
    # 10.1 is within 1% of 10, though the floats differ by a little more.
    return given == wanted or bool(tolerance and abs(given - wanted) <= tolerance * abs(wanted) * (1 + 1e-9))


def _number(text: str) -> float | None:
    return float(text.replace(",", "")) if NUMBER.fullmatch(text) else None
