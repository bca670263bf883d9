"""What stands beside scores: the other reading, further metrics, fields that are right, labels that are confused."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from schemas.reports import ArmReport

SHOWN = 10


@dataclass(frozen=True)
class DetailTable:
    """A table: its title, its column heads, and its rows."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def detail_tables(folders: Mapping[str, Path]) -> tuple[DetailTable, ...]:
    """Return the tables of the arms' details.json; `folders` are the arms' opened folders by name."""
    paths = {arm: folder / "details.json" for arm, folder in folders.items()}
    found = {arm: json.loads(path.read_text(encoding="utf-8")) for arm, path in paths.items() if path.exists()}
    fields, confusions = dict[str, dict[str, str]](), dict[tuple[str, str], dict[str, int]]()
    for arm, details in found.items():
        for name, right, rows in details.get("fields", ()):
            fields.setdefault(name, {})[arm] = f"{right / rows:.0%}"
        for gold, given, rows in details.get("confusions", ()):
            confusions.setdefault((gold, given), {})[arm] = rows
    most = Counter({pair: max(rows.values()) for pair, rows in confusions.items()}).most_common(SHOWN)
    by_field = tuple((name, *(arms.get(arm, "") for arm in found)) for name, arms in fields.items())
    by_pair = tuple((*pair, *(str(confusions[pair].get(arm, "")) for arm in found)) for pair, _ in most)
    tables = (
        DetailTable("Right answers field by field", ("field", *found), by_field),
        DetailTable("Labels confused most often", ("reference", "answer", *found), by_pair),
    )
    return tuple(table for table in tables if table.rows)


def both_readings(arm: ArmReport) -> str:
    """Return an arm's scores in both readings, such as "0.210 / 0.840"; "" where they are unknown."""
    if arm.strict_score is None or arm.lenient_score is None:
        return ""
    return f"{arm.strict_score:.3f} / {arm.lenient_score:.3f}"


def other_metrics(arm: ArmReport) -> str:
    """Return what the metrics say that do not decide, such as "em 0.410, macro_f1 0.620"."""
    return ", ".join(f"{name} {value:.3f}" for name, value in arm.also.items())
