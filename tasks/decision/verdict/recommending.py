"""What to do now: one recommendation in plain words, and what it is expected to lose if another arm is better."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from scipy.special import ndtr, ndtri

from schemas.reports import ArmReport, Doubt, VerdictName
from tasks.decision.verdict.comparison import TRAINED
from tasks.decision.verdict.wording import at_confidence, count, what_would_tell
from tasks.statistics.clusters import FEWEST_GROUPS

if TYPE_CHECKING:
    from schemas.findings.gate import GateReport
    from schemas.sections.decision import DecisionConfig

SMALLEST_REGRET = 0.0005  # less is shown as none
OUT_OF_REACH = 20  # times the groups that there are: nobody will collect more


def recommendation(
    name: VerdictName,
    arm: ArmReport,
    tuned: ArmReport | None,
    arms: Sequence[ArmReport],
    stopped: GateReport | None,
    doubts: Sequence[Doubt],
    decision: DecisionConfig,
) -> str:
    """Return what to do now, in one or two sentences.

    Args:
        name: the verdict.
        arm: that the verdict is about.
        tuned: the tuned arm that earned its place, if one did.
        arms: all of them.
        stopped: the gate, where it is not open to the adapter.
        doubts: what is missing for a verdict, the first to settle it first.
        decision: target, worth and confidence.
    """
    trained = [one for one in arms if one.arm in TRAINED]
    if name == arm.arm:  # an untrained arm
        told = _untrained(arm, trained, stopped is not None and stopped.is_shut, decision)
    elif name == "not_worth_tuning":
        told = f"Use {arm.arm} and do not tune: {_most_gained(trained)}, and {decision.worth:g} was asked for."
    elif name == "none_good_enough":
        told = _none(arm, tuned, trained, decision)
    elif name == "undecided":
        told = _meanwhile(arm, doubts, decision)
    elif stopped is None:
        told = f"Put {arm.arm} into service: it gains {arm.gain_low or 0.0:.3f} or more over the best untrained arm."
    else:
        told = (
            f"Try {arm.arm} beside what is served, not in its place: it gains {arm.gain_low or 0.0:.3f} or more over "
            "the best untrained arm."
        )
    return told + (_about_forgetting(stopped) if stopped else "")


def _about_forgetting(gate: GateReport) -> str:
    if gate.is_shut:
        return " The adapter gains enough: train again so that it forgets less (fewer epochs, a lower learning rate)."
    why = what_would_tell(gate)
    return f" What it forgot is not clear: {why} (benchmark.tasks adds some; benchmark.require: not_lost does without)."


def _untrained(arm: ArmReport, trained: Sequence[ArmReport], is_refused: bool, decision: DecisionConfig) -> str:
    """Return the advice to use an untrained arm; without a target it says nothing of tuning that was not measured."""
    note = " No language model is needed; it is not registered in MLflow." if arm.arm == "classifier" else ""
    if is_refused:
        return f"Use {arm.arm}.{note}"
    if decision.target is not None:
        return f"Use {arm.arm} and do not tune.{note}"
    if trained:
        return f"Use {arm.arm}: the answers of the tuned arms break the contract.{note}"
    return f"Use {arm.arm}; whether tuning adds {decision.worth:g} was not measured: tuneworthy run tells.{note}"


def _most_gained(trained: Sequence[ArmReport]) -> str:
    """Return at most how much tuning adds, such as "tuned adds at most 0.021"."""
    best = max(trained, key=lambda one: one.gain_high or 0.0)
    high = best.gain_high or 0.0
    return f"{best.arm} adds at most {high:.3f}" if high > 0 else f"{best.arm} adds nothing"


def _none(arm: ArmReport, tuned: ArmReport | None, trained: Sequence[ArmReport], decision: DecisionConfig) -> str:
    goal = "" if decision.target is None else f", which scores {arm.score:.3f} of {decision.target:g}"
    told = f"Do not rely on any of these arms yet; where one has to serve, use {arm.arm}{goal}."
    if not trained:
        return f"{told} Measure next what tuning adds: tuneworthy run."
    if tuned is arm:
        return f"{told} It is worth going on from: try more training rows or a larger base."
    return f"{told} More held-out rows will not change that: try more training rows or a larger base."


def _meanwhile(arm: ArmReport, doubts: Sequence[Doubt], decision: DecisionConfig) -> str:
    first = doubts[0]
    if first.groups_needed is None or first.rows_needed is None or first.groups_needed > OUT_OF_REACH * arm.groups:
        return (
            f"Use {arm.arm} meanwhile. More rows are not likely to tell {first.question}, as the numbers lie on the "
            "line: decide by cost."
        )
    more = count(max(first.groups_needed - arm.groups, 1), "more group")
    rows = count(max(first.rows_needed - arm.rows, 1), "row")
    if arm.groups < FEWEST_GROUPS:
        confident = at_confidence(decision.confidence)
        return (
            f"Use {arm.arm} meanwhile. Nothing can be told {confident} below {FEWEST_GROUPS} groups: about {more} "
            f"({rows}) would tell {first.question}."
        )
    return f"Use {arm.arm} meanwhile; about {more} ({rows}) would tell {first.question}."


def regret_sentence(regret: float, better: str) -> str:
    """Return the expected regret in words; `better` is the arm that it is against."""
    if regret < SMALLEST_REGRET:
        return "Expected regret: less than 0.001 of score."
    return f"Expected regret: {regret:.3f} of score, should {better} be the better choice."


def regret_of(arm: ArmReport, arms: Sequence[ArmReport], decision: DecisionConfig) -> tuple[float, str]:
    """Return the score that using `arm` loses on average because another arm may be better, and that other arm.

    The largest over the other arms of the mean of max(0, other - arm), with a normal distribution of the width of the
    paired interval. Tuning counts as costing `worth`: choosing it instead of an untrained arm has to bring that much.

    Args:
        arm: that is used.
        arms: that may be used; their order does not matter.
        decision: worth and confidence.
    """
    losses = [(_loss(arm, other, decision), other.arm) for other in arms if other.arm != arm.arm]
    return max(losses, default=(0.0, ""))


def _loss(arm: ArmReport, other: ArmReport, decision: DecisionConfig) -> float:
    """Return the expected loss of using `arm` instead of `other`; 0 where the two were not compared directly."""
    price = decision.worth * ((other.arm in TRAINED) - (arm.arm in TRAINED))
    low, high = _ends(arm, other)
    if low is None or high is None:
        return 0.0
    spread = (high - low) / 2 / float(ndtri((1 + decision.confidence) / 2))
    return mean_above_zero(other.score - arm.score - price, spread)


def _ends(arm: ArmReport, other: ArmReport) -> tuple[float | None, float | None]:
    """Return the ends of the paired interval between two arms, either way round: only its width is used."""
    if arm.arm in TRAINED and other.arm not in TRAINED:
        return arm.gain_low, arm.gain_high
    if other.arm in TRAINED and arm.arm not in TRAINED:
        return other.gain_low, other.gain_high
    if arm.rival == other.arm:
        return arm.lag_low, arm.lag_high
    return (other.lag_low, other.lag_high) if other.rival == arm.arm else (None, None)


def mean_above_zero(mean: float, spread: float) -> float:
    """Return the mean of max(0, x) for a normally distributed x."""
    if spread <= 0:
        return max(0.0, mean)
    where = mean / spread
    return float(mean * ndtr(where) + spread * math.exp(-(where**2) / 2) / math.sqrt(2 * math.pi))
