"""How far arms moved from one verdict to a later one: row by row where the rows are the same, else by their intervals.

Two scores on different rows are compared by MOVER: the difference's interval is made of the distances from each score
to the end of its own interval, as the errors are independent (Zou and Donner 2008, Statistics in Medicine 27:1693). It
needs no rows, so a verdict.json is enough.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from scipy.special import stdtrit

from schemas.findings.diff import ArmMove
from schemas.reports import ArmReport, Verdict
from tasks.intervals import Interval, paired_interval

ASKED = ("row_id", "history", "prompt", "completion")


@dataclass(frozen=True)
class Measured:
    """A verdict with the files behind it that are at hand: answers.parquet by arm, and held_out.parquet."""

    verdict: Verdict
    answers: Mapping[str, Path]
    held_out: Path | None


def moves_between(before: Measured, after: Measured) -> tuple[ArmMove, tuple[ArmMove, ...]]:
    """Return how the arm that is named moved, and every arm that both verdicts have."""
    later = {arm.arm: arm for arm in after.verdict.arms}
    shared = [(arm, later[arm.arm]) for arm in before.verdict.arms if arm.arm in later]
    named = before.verdict.named, after.verdict.named
    return _move(before, after, *named), tuple(_move(before, after, *pair) for pair in shared)


def _move(before: Measured, after: Measured, one: ArmReport, other: ArmReport) -> ArmMove:
    rows, confidence = _same_rows(before, after, one.arm, other.arm), after.verdict.confidence
    found = (
        unpaired_interval((one, before.verdict.confidence), (other, confidence))
        if rows is None
        else paired_interval(
            rows["score"].to_numpy(), rows["later"].to_numpy(), confidence=confidence, clusters=rows["group"].to_list()
        )
    )
    is_better, is_worse = found.is_conclusive and found.low > 0, found.is_below(0.0)
    return ArmMove(
        before_arm=one.arm,
        after_arm=other.arm,
        before=one.score,
        after=other.score,
        difference=found.mean,
        low=found.low,
        high=found.high,
        groups=found.groups,
        is_paired=rows is not None,
        standing="better" if is_better else "worse" if is_worse else "unclear",
    )


def _same_rows(before: Measured, after: Measured, one: str, other: str) -> pl.DataFrame | None:
    """Return score, later (score) and group of the rows, or None where they are not the same or not at hand."""
    first, second = _asked(before, one), _asked(after, other)
    if first is None or second is None or not first.select(ASKED).equals(second.select(ASKED)):
        return None
    return second.select("group", score=first["score"].cast(pl.Float64), later=pl.col("score").cast(pl.Float64))


def _asked(measured: Measured, arm: str) -> pl.DataFrame | None:
    if arm not in measured.answers or measured.held_out is None:
        return None
    answers = pl.read_parquet(measured.answers[arm], columns=["row_id", "group", "score"])
    return answers.join(pl.read_parquet(measured.held_out, columns=list(ASKED)), on="row_id").sort("row_id")


def unpaired_interval(before: tuple[ArmReport, float], after: tuple[ArmReport, float]) -> Interval:
    """Return the difference of two scores on different rows with its interval, at the later one's confidence.

    Args:
        before: the earlier arm, and the confidence of its interval.
        after: the later arm, and that of its.
    """
    (one, was), (other, confidence) = before, after
    freedom = max(one.groups - 1, 1)
    scale = float(stdtrit(freedom, (1 + confidence) / 2) / stdtrit(freedom, (1 + was) / 2))
    mean = other.score - one.score
    low = mean - math.hypot(other.score - other.low, scale * (one.high - one.score))
    high = mean + math.hypot(other.high - other.score, scale * (one.score - one.low))
    return Interval(mean, low, high, min(one.groups, other.groups))
