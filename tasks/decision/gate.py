"""The gate: an adapter that surely lost more than the margin on any benchmark task is not let through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.reports import GateReport, GateTask

if TYPE_CHECKING:
    from schemas.artifacts import BenchmarkArtifact


def judge_forgetting(benchmark: BenchmarkArtifact, margin: float) -> GateReport:
    """Return every task's outcome and whether the gate opens.

    A task is refused when the upper end of its interval lies below -margin: more than the margin was lost, with confidence. The interval
    is two-sided, so a harmless adapter is refused on a task with a chance of (1 - confidence) / 2 at most.
    """
    tasks = tuple(GateTask(**task.model_dump(), is_passed=task.high >= -margin) for task in benchmark.tasks)
    return GateReport(is_passed=all(task.is_passed for task in tasks), margin=margin, tasks=tasks)
