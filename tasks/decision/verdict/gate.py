"""The gate: an adapter that lost more than the margin is refused, and one of which that is not clear is no champion."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from schemas.gate import GateReport, GateState
from tasks.statistics.clusters import FEWEST_GROUPS
from tasks.statistics.power import groups_to_tell_apart

if TYPE_CHECKING:
    from schemas.artifacts import BenchmarkArtifact, BenchmarkTask
    from schemas.sections.benchmark import Require


def judge_forgetting(benchmark: BenchmarkArtifact, require: Require) -> GateReport:
    """Return whether the gate is open.

    It is shut where a task or the pooled result is lost. With `require: kept` it is open only where the pooled result
    is kept and no task's loss as measured is beyond the margin: small losses on many items would hide a large one on
    few of them.
    """
    state, doubtful = _state(benchmark, require)
    return GateReport(
        state=state,
        require=require,
        margin=benchmark.margin,
        tasks=benchmark.tasks,
        pooled=benchmark.pooled,
        looks=benchmark.looks,
        all_items=benchmark.all_items,
        doubtful=doubtful.task if doubtful else None,
        items_needed=_items_needed(doubtful, benchmark) if doubtful else None,
    )


def _state(benchmark: BenchmarkArtifact, require: Require) -> tuple[GateState, BenchmarkTask | None]:
    """Return the gate's state and, where it is inconclusive, the result that it turns on."""
    if any(one.standing == "lost" for one in benchmark.shown):
        return "shut", None
    if require == "not_lost":
        return "open", None
    worst = min(benchmark.tasks, key=lambda one: one.difference)
    if benchmark.pooled.standing != "kept":
        return "inconclusive", benchmark.pooled
    return ("inconclusive", worst) if worst.difference < -benchmark.margin else ("open", None)


def _items_needed(one: BenchmarkTask, benchmark: BenchmarkArtifact) -> int | None:
    confidence = 1.0 - 2.0 * benchmark.level
    needed = groups_to_tell_apart(one.difference, one.low, one.high, one.clusters, -benchmark.margin, confidence)
    return None if needed is None else math.ceil(max(needed, FEWEST_GROUPS) * one.items / one.clusters)
