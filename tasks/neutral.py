"""Neutral texts, which a tuned model should predict as well as before: some may be learned, others only measured."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from schemas.errors import ConfigRefused
from tasks.statistics.clusters import FEWEST_GROUPS

SHORTEST = 20  # characters; less than that is hardly predicted by what stands before
NAMED = 5  # bad lines


def read_texts(path: Path) -> list[str]:
    """Return the distinct texts of a file of JSON lines, each with a `text`.

    Raises:
        ConfigRefused: a line is not JSON, or has no text of some length; or too few texts are left to measure.
    """
    lines = [line for line in path.read_bytes().split(b"\n") if line.strip()]
    read = [(number, _text_of(line)) for number, line in enumerate(lines, start=1)]
    bad = [number for number, text in read if text is None]
    if bad:
        shown = ", ".join(map(str, bad[:NAMED])) + (f", +{len(bad) - NAMED}" if len(bad) > NAMED else "")
        raise ConfigRefused(
            f'benchmark.neutral: {path}: line {shown}: each line is JSON such as {{"text": "..."}}, in UTF-8, and its '
            f"text has at least {SHORTEST} characters. Fix these lines, or take them out."
        )
    texts = list(dict.fromkeys(text for _, text in read if text is not None))
    if (left := len(measured_texts(texts))) < FEWEST_GROUPS:
        raise ConfigRefused(
            f"benchmark.neutral: {path} has {len(texts)} different texts, of which {left} are measured (about a third "
            f"is set aside for training.replay); below {FEWEST_GROUPS} nothing can be claimed. Add texts, leave the "
            "setting out to use the shipped ones, or set it to null to measure none."
        )
    return texts


def _text_of(line: bytes) -> str | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    text = row.get("text") if isinstance(row, dict) else None
    return text if isinstance(text, str) and len(text.strip()) >= SHORTEST else None


def measured_texts(texts: Sequence[str]) -> list[str]:
    """Return the texts that are measured: two thirds, by content, so that a text stays on its side."""
    return [text for text in texts if not _is_set_aside(text)]


def replay_texts(texts: Sequence[str]) -> list[str]:
    """Return the others: those that training.replay may mix in."""
    return [text for text in texts if _is_set_aside(text)]


def _is_set_aside(text: str) -> bool:
    return int(hashlib.sha256(text.encode()).hexdigest(), 16) % 3 == 0
