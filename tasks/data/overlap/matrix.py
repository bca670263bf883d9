"""The leakage matrix in words, read from the sealed artifacts; imports nothing heavy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def matrix_lines(data: Path, leakage: Path) -> list[str]:
    """Return a line a pair of an opened DataArtifact, and a line a benchmark file with an item in a train row."""
    pairs = json.loads((data / "report.json").read_text(encoding="utf-8"))["leakage"]
    files = json.loads((leakage / "leakage.json").read_text(encoding="utf-8"))
    return [_line(_words(pair), counts) for pair, counts in pairs.items()] + [
        _line(pair, counts) for pair, counts in files.items() if any(counts.values())
    ]


def _line(pair: str, counts: dict[str, Any]) -> str:
    """Return "few-shot pool x held-out: exact 0, near 3"."""
    return (
        f"{pair}: {', '.join(value if name == 'note' else f'{_words(name)} {value}' for name, value in counts.items())}"
    )


def _words(name: str) -> str:
    return name.replace("few_shot", "few-shot").replace("held_out", "held-out").replace("_", " ")
