"""contains: the reference stands somewhere in the answer."""

from __future__ import annotations

import re

from tasks.answers.metrics.exact import spaced


def contains(output: str, gold: str) -> float:
    """Return 1 if the reference stands in the answer as whole words, in any case and with any white space."""
    wanted = spaced(gold).casefold()
    return float(
        bool(wanted) and re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", spaced(output).casefold()) is not None
    )
