"""The gate: an adapter that surely lost more than the margin on any benchmark task is not let through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.reports import GateReport, GateTask, MarginStanding

if TYPE_CHECKING:
    from schemas.artifacts import BenchmarkArtifact


def judge_forgetting(benchmark: BenchmarkArtifact, margin: float) -> GateReport:
    """Return every task's outcome and whether the gate opens.

    A task is refused when the upper end of its interval lies below -margin: more than the margin was lost, with
    confidence. The interval is two-sided, so a harmless adapter is refused on a task with a chance of (1 - confidence)
    / 2 at most. Whether a task that passes is surely within the margin is another question: it is when the lower end
    does not lie below -margin either.
    """
    standings = [against_margin(task.low, task.high, margin) for task in benchmark.tasks]
    tasks = tuple(
        GateTask(**task.model_dump(), standing=standing, is_passed=standing != "beyond")
        for task, standing in zip(benchmark.tasks, standings, strict=True)
    )
    return GateReport(is_passed=all(task.is_passed for task in tasks), margin=margin, tasks=tasks)


def against_margin(low: float, high: float, margin: float) -> MarginStanding:
    """Return how the interval of a change of accuracy stands against the loss that is allowed."""
    if high < -margin:
        return "beyond"
    return "within" if low >= -margin else "unclear"
