"""What a benchmark can see, said before anything is asked, and by `plan` before anything is spent."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from schemas.sources import BenchmarkSources
from tasks.benchmark.forgetting import clusters_of
from tasks.benchmark.task_files import YAML, read_task_file
from tasks.statistics.power import Spread, groups_needed, smallest_difference, worst_spread

ALIKE = 0.05  # correlation of the items of one topic that is reckoned with
CHANGED = 0.25  # share of answers that tuning changes; their spread is its root


def noticed(clusters: Sequence[str], margin: float, confidence: float, claims: int) -> float:
    """Return the smallest true loss shown to be over the margin in 8 of 10 cases; infinite with too few clusters."""
    return margin + smallest_difference(len(set(clusters)), _spread(clusters), confidence, claims)


def items_to_keep(clusters: Sequence[str], margin: float, confidence: float) -> int | None:
    """Return the items at which an adapter that loses nothing is shown to be kept in 8 of 10 cases."""
    spread = _spread(clusters)
    groups = groups_needed(margin, spread, confidence)
    return None if groups is None else math.ceil(groups * spread.rows_per_group)


def _spread(clusters: Sequence[str]) -> Spread:
    return worst_spread(len(clusters) / len(set(clusters)), row_spread=CHANGED**0.5, correlation=ALIKE)


def sight_line(clusters: Mapping[str, Sequence[str]], margin: float, confidence: float) -> str:
    """Return what losses would be noticed, and what it takes to show that nothing was lost, in words.

    Args:
        clusters: of every item by task.
        margin: accuracy that may be lost.
        confidence: of the decision.
    """
    pooled = [f"{name}: {cluster}" for name, own in clusters.items() for cluster in own]
    claims = len(clusters) + (len(clusters) > 1)
    single = [noticed(own, margin, confidence, claims) for own in clusters.values()]
    told = f"{_points(noticed(pooled, margin, confidence, claims))} on all {len(pooled):,} items"
    if len(clusters) > 1:
        told += f", of {_points(min(single))} to {_points(max(single))} on one of {len(clusters)} tasks"
    needed = items_to_keep(pooled, margin, confidence)
    more = (
        f"; an adapter that loses nothing would need about {needed:,} items to show it"
        if needed and needed > len(pooled)
        else ""
    )
    return (
        f"benchmark: {_points(margin)} may be lost; in 8 of 10 cases, if a quarter of the answers change, it notices a "
        f"loss of {told}{more}"
    )


def local_clusters(sources: BenchmarkSources, limit: int | None) -> dict[str, list[str]] | None:
    """Return the cluster of every item by task, as far as local task files tell it without lm-eval; None where a task
    reads anything but JSON lines beside it.
    """
    files = [read_task_file(Path(file.path)) for file in sources.files if file.suffix in YAML]
    found = {}
    for file in (one for one in files if one.name and not one.is_group):
        data = file.options.get("data_files")
        path = data.get(file.content.get("test_split")) if isinstance(data, dict) else None
        if not isinstance(path, str) or not path.endswith(".jsonl") or "process_docs" in file.content:
            return None
        with Path(path).open(encoding="utf-8") as lines:
            topics = [json.loads(line).get("topic") for line in lines if line.strip()]
        found[str(file.name)] = clusters_of(topics[:limit])
    return None if sources.packaged else found or None


def _points(loss: float) -> str:
    return "more than 100 points" if loss > 1 else f"{100 * loss:.2g} points"
