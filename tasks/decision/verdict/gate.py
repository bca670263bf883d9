"""The gate: an adapter that lost more than the margin is refused, and one of which that is not clear is no champion."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from schemas.findings.gate import NEUTRAL, GateReport, GateState
from tasks.statistics.clusters import FEWEST_GROUPS
from tasks.statistics.power import groups_to_tell_apart

if TYPE_CHECKING:
    from schemas.artifacts import BenchmarkArtifact
    from schemas.findings.loss import BenchmarkTask
    from schemas.sections.benchmark import Require


def judge_forgetting(benchmark: BenchmarkArtifact, require: Require) -> GateReport:
    """Return whether the gate is open.

    It is shut where a task or the pooled result is lost. With `require: kept` it is open only where the pooled result
    is kept, no loss as measured, of a task or on neutral text, is beyond its margin, and no task may hide a loss of
    twice the margin: small losses on many items would hide a large one on few of them. Neutral text is a claim of its
    own, outside the tasks' correction.
    """
    state, doubtful = _state(benchmark, require)
    turns_on = doubtful.task if doubtful else NEUTRAL if state == "inconclusive" else None
    return GateReport(
        state=state,
        require=require,
        margin=benchmark.margin,
        tasks=benchmark.tasks,
        pooled=benchmark.pooled,
        looks=benchmark.looks,
        all_items=benchmark.all_items,
        neutral=benchmark.neutral,
        doubtful=turns_on,
        items_needed=_items_needed(doubtful, benchmark) if doubtful else None,
    )


def _state(benchmark: BenchmarkArtifact, require: Require) -> tuple[GateState, BenchmarkTask | None]:
    """Return the gate's state and, where it is inconclusive, the task that it turns on; None for neutral text."""
    neutral = benchmark.neutral
    if "lost" in (*(one.standing for one in benchmark.shown), neutral and neutral.standing):
        return "shut", None
    if require == "not_lost":
        return "open", None
    if benchmark.pooled.standing != "kept":
        return "inconclusive", benchmark.pooled
    doubtful = [one for one in benchmark.tasks if one.may_hide_twice or one.difference < -benchmark.margin]
    if doubtful:
        return "inconclusive", min(doubtful, key=lambda one: one.difference)
    return ("inconclusive" if neutral and neutral.difference > neutral.margin else "open"), None


def _items_needed(one: BenchmarkTask, benchmark: BenchmarkArtifact) -> int | None:
    confidence = 1.0 - 2.0 * benchmark.level
    needed = groups_to_tell_apart(one.difference, one.low, one.high, one.clusters, -benchmark.margin, confidence)
    return None if needed is None else math.ceil(max(needed, FEWEST_GROUPS) * one.items / one.clusters)
