"""The gate: an adapter that lost more than the margin on any benchmark task, at confidence, is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.gate import GateReport, GateTask, MarginStanding
from tasks.statistics.clusters import FEWEST_GROUPS

if TYPE_CHECKING:
    from schemas.artifacts import BenchmarkArtifact


def judge_forgetting(benchmark: BenchmarkArtifact, margin: float) -> GateReport:
    """Return every task's outcome and whether the gate is open.

    A task is refused when the upper end of its interval lies below -margin. The interval is two-sided, so a harmless
    adapter is refused on a task with a probability of at most (1 - confidence) / 2. A task that passes is within the
    margin only if the lower end does not lie below -margin either; otherwise it is inconclusive.
    """
    standings = [
        against_margin(task.low, task.high, margin) if task.items >= FEWEST_GROUPS else "unclear"
        for task in benchmark.tasks
    ]
    tasks = tuple(
        GateTask(**task.model_dump(), standing=standing, is_passed=standing != "beyond")
        for task, standing in zip(benchmark.tasks, standings, strict=True)
    )
    return GateReport(is_passed=all(task.is_passed for task in tasks), margin=margin, tasks=tasks)


def against_margin(low: float, high: float, margin: float) -> MarginStanding:
    """Return how the interval of a change in accuracy stands against the allowed loss."""
    if high < -margin:
        return "beyond"
    return "within" if low >= -margin else "unclear"
