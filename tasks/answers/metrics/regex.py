"""regex: what a pattern finds in the answer is what it finds in the reference."""

from __future__ import annotations

import re

from tasks.answers.metrics.exact import exact


def regex(output: str, gold: str, pattern: str) -> float:
    """Return 1 if the first match (its first group, if any) is the same text in both; 0 where the answer has none."""
    found, wanted = (re.search(pattern, text) for text in (output, gold))
    if found is None or wanted is None:
        return 0.0
    place = 1 if found.re.groups else 0
    return exact(found[place] or "", wanted[place] or "")
