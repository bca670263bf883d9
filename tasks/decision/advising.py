"""What next: a learning curve, the kinds of wrong answers, and one piece of advice that follows from both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import polars as pl

from schemas.findings.advice import Advice, CurvePoint, Errors, NextStep, Trend
from schemas.reports import Verdict
from schemas.sections.arms import UntrainedArm
from tasks.decision.verdict.comparison import TRAINED
from tasks.intervals import mean_interval, paired_interval

if TYPE_CHECKING:
    from schemas.sections.decision import DecisionConfig

UNTRAINED = (*get_args(UntrainedArm), "not_worth_tuning")
MANY = 0.1  # of all answers: contracts broken so often are the first thing to mend


@dataclass(frozen=True)
class Learned:
    """The tuned arm after a share of the train groups: its answers, and how many rows it learned from."""

    share: float
    train_rows: int
    answers: Path


def advise_on(verdict: Verdict, curve: Sequence[Learned], decision: DecisionConfig, seconds: float | None) -> Advice:
    """Return the advice on a verdict.

    Args:
        verdict: of the whole run.
        curve: from the smallest share to the whole; empty where nothing was trained.
        decision: `worth` and `confidence`.
        seconds: that the whole training took; None where nothing was trained.
    """
    points = tuple(_point(one, decision.confidence) for one in curve)
    trend = _trend(curve, decision) if len(curve) > 1 else None
    arm = curved_arm(verdict)
    errors = next(one.errors for one in verdict.arms if one.arm == arm)
    step, text, factor = _next_step(verdict, trend, errors, curve)
    return Advice(
        advice=text,
        next_step=step,
        trend=trend,
        curve=points,
        errors=errors,
        arm=arm,
        seconds_needed=None if seconds is None or factor is None else seconds * factor,
    )


def curved_arm(verdict: Verdict) -> str:
    """Return the arm whose wrong answers say most: the best tuned one where something was tuned, else the named one."""
    tuned = [arm for arm in verdict.arms if arm.arm in TRAINED]
    return max(tuned, key=lambda arm: arm.score).arm if tuned else verdict.arm


def _point(one: Learned, confidence: float) -> CurvePoint:
    answers = pl.read_parquet(one.answers)
    found = mean_interval(answers["score"].to_numpy(), confidence=confidence, clusters=answers["group"].to_list())
    return CurvePoint(share=one.share, train_rows=one.train_rows, score=found.mean, low=found.low, high=found.high)


def _trend(curve: Sequence[Learned], decision: DecisionConfig) -> Trend:
    """Return whether the last doubling of the train groups raised the score at confidence, or by less than `worth`."""
    before, after = (pl.read_parquet(one.answers).sort("row_id") for one in curve[-2:])
    gain = paired_interval(
        before["score"].to_numpy(),
        after["score"].to_numpy(),
        confidence=decision.confidence,
        clusters=after["group"].to_list(),
    )
    if gain.is_conclusive and gain.low > 0:
        return "rising"
    return "flat" if gain.is_below(decision.worth) else "unclear"


def _next_step(
    verdict: Verdict, trend: Trend | None, errors: Sequence[Errors], curve: Sequence[Learned]
) -> tuple[NextStep, str, float | None]:
    """Return what to do, why, and how many times the training time of this run it takes to fit that."""
    if verdict.verdict in UNTRAINED:
        return "use_untrained", f"{verdict.recommendation} No adapter is needed for that.", None
    if verdict.promotes and verdict.verdict.startswith("finetune"):
        further = " More rows of this kind would raise it further." if trend == "rising" else ""
        return "use_tuned", f"{verdict.recommendation}{further}", None
    broken = [one for one in errors if one.kind in ("cut off", "breaks the contract")]
    if broken and broken[0].low > MANY:
        return "fix_contract", _mend(broken[0], curved_arm(verdict)), 1.0
    if trend == "rising":
        rows = curve[-1].train_rows
        grown = f"The score still rises with the train rows: collect about {rows:,} more, in other groups"
        return "more_rows", f"{grown}; training on twice the rows takes about twice as long.", 2.0
    if trend == "flat" and verdict.verdict == "none_good_enough":
        flat = f"The last doubling of the train rows raised the score by less than {verdict.worth:g}"
        return "another_base", f"{flat}: more rows will not reach the target. Try another, larger base.", None
    return "more_groups_held_out", f"{verdict.recommendation} What more train rows would do cannot be told yet.", None


def _mend(found: Errors, arm: str) -> str:
    if found.kind == "cut off":
        return (
            f"{found.share:.0%} of {arm}'s answers are cut off before they are complete: raise arms.max_new_tokens "
            "above the longest right answer, and check that train rows end with the stop token."
        )
    return (
        f"{found.share:.0%} of {arm}'s answers break the contract: look at these rows first, spell the contract out in "
        "task.instruction, or add train rows whose answers have the forms that are missed."
    )
