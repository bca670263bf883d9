"""What an adapter forgot: base and tuned on the same benchmark items, task by task, with the interval of the paired
difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from schemas.artifacts import BenchmarkTask
from tasks.intervals import paired_interval

Items = Mapping[str, Sequence[float]]


def compare_tasks(
    base: Items, tuned: Items, groups: Mapping[str, Sequence[str]], *, confidence: float
) -> tuple[BenchmarkTask, ...]:
    """Return one comparison a task, and one a group over all its items, each item weighing the same."""
    parts = {name: (base[name], tuned[name]) for name in base}
    wholes = {
        group: (_pooled(base, members), _pooled(tuned, members))
        for group, members in groups.items()
        if len(members) > 1
    }
    sides = [*parts.items(), *wholes.items()]
    return tuple(_compared(name, before, after, confidence=confidence) for name, (before, after) in sides)


def _pooled(items: Items, members: Sequence[str]) -> Sequence[float]:
    return [value for name in members for value in items[name]]


def _compared(name: str, base: Sequence[float], tuned: Sequence[float], *, confidence: float) -> BenchmarkTask:
    interval = paired_interval(base, tuned, confidence=confidence)
    return BenchmarkTask(
        task=name,
        items=len(base),
        base=float(np.mean(base)),
        tuned=float(np.mean(tuned)),
        difference=interval.mean,
        low=interval.low,
        high=interval.high,
    )


def write_items(base: Items, tuned: Items, path: Path) -> None:
    """Write one row an item: task, item (its place in the task, from 0), base, tuned (accuracy, 0..1)."""
    frames = [
        pl.DataFrame(
            {
                "task": [name] * len(base[name]),
                "item": range(len(base[name])),
                "base": base[name],
                "tuned": tuned[name],
            },
            schema={"task": pl.String, "item": pl.Int64, "base": pl.Float64, "tuned": pl.Float64},
        )
        for name in base
    ]
    pl.concat(frames).write_parquet(path)
