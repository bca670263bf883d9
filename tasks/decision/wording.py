"""The verdict in words: one sentence per reason, so that a reader can check each against the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from schemas.config import DecisionConfig
    from schemas.reports import ArmReport, GateTask, VerdictName
    from tasks.intervals import Interval

# The gate refuses losses beyond the margin; a task that passes may be inconclusive rather than within it.
LOSS_NAMES = {"within": "within", "unclear": "inconclusive", "beyond": "beyond"}
ADVICE = {
    "prompt": "The plain prompt is enough: do not tune.",
    "few_shot": "A few examples in the prompt are enough: do not tune.",
    "retrieval": "Retrieval is enough: do not tune.",
    "finetune": "Tuning earns its place.",
    "finetune+retrieval": "Tuning earns its place, together with retrieval.",
    "none_good_enough": "No arm is good enough.",
    "undecided": "Too few rows to decide.",
}


def spread(low: float, high: float) -> str:
    """Return an interval in words."""
    return f"{low:.3f} to {high:.3f}"


def signed_spread(low: float, high: float) -> str:
    """Return the interval of a difference in words."""
    return f"{low:+.3f} to {high:+.3f}"


def at_confidence(confidence: float) -> str:
    """Return "at 95% confidence"."""
    return f"at {100 * confidence:g}% confidence"


def against_target(standing: str, decision: DecisionConfig) -> str:
    """Return how an arm stands against the target, such as "misses the target of 0.8 at 95% confidence"."""
    if standing == "unclear":
        return f"may or may not meet the target of {decision.target:g}"
    verb = "meets" if standing == "good" else "misses"
    return f"{verb} the target of {decision.target:g} {at_confidence(decision.confidence)}"


def headline(
    name: VerdictName,
    arms: list[ArmReport],
    winner: ArmReport | None,
    tuned: ArmReport | None,
    is_open: bool,
    decision: DecisionConfig,
) -> str:
    """Return the verdict in one or two sentences."""
    best = winner or max(arms, key=lambda arm: arm.score)
    numbers = (
        f"{best.arm} scores {best.score:.3f} ({spread(best.low, best.high)}) against a target of {decision.target:g}."
    )
    if tuned and not is_open and not winner:
        lost = f"it lost more than the margin on a benchmark {at_confidence(decision.confidence)}"
        return f"The gate refuses the adapter: {lost}. {numbers}"
    if tuned and not winner:
        return f"{ADVICE[name]} {numbers} Tuning gains {tuned.gain:+.3f} over the best untrained arm."
    return f"{ADVICE[name]} {numbers}"


def arm_sentence(arm: ArmReport, decision: DecisionConfig) -> str:
    """Return what one arm's numbers say."""
    text = (
        f"{arm.arm} {against_target(arm.standing, decision)}: {arm.score:.3f} ({spread(arm.low, arm.high)}) "
        f"on {arm.rows} rows"
    )
    if arm.gain is None or arm.gain_low is None or arm.gain_high is None:
        return f"{text}."
    worth = (
        "worth it"
        if arm.gain >= decision.worth and arm.gain_low > 0
        else "inconclusive"
        if arm.gain_high >= decision.worth
        else "not worth it"
    )
    return (
        f"{text}; {arm.gain:+.3f} ({signed_spread(arm.gain_low, arm.gain_high)}) over the best untrained arm, "
        f"{worth} at a threshold of {decision.worth:g}."
    )


def gate_sentence(task: GateTask, margin: float, confidence: float) -> str:
    """Return how the adapter changed one benchmark task, and how that change stands against the margin."""
    if task.standing == "unclear":
        outcome = f"inconclusive, as the interval crosses the margin of {margin:g}"
    else:
        outcome = f"{LOSS_NAMES[task.standing]} the margin of {margin:g} {at_confidence(confidence)}"
    change = f"{task.difference:+.3f} ({signed_spread(task.low, task.high)})"
    return (
        f"benchmark {task.task}: {task.base:.3f} before, {task.tuned:.3f} after, {change} on {task.items} items: "
        f"{outcome}."
    )


def undecided_sentence(rows: int, needed: int) -> str:
    """Return how many rows it would take."""
    return f"{rows} held-out rows are too few to decide; about {needed} would be enough if the scores stay the same."


def champion_sentence(
    version: str, own: Interval, standing: str, rows: int, left_out: int, decision: DecisionConfig
) -> str:
    """Return what the champion's own numbers say."""
    learned = f"; {left_out} that it may have learned are left out" if left_out else ""
    return (
        f"the champion, version {version}, {against_target(standing, decision)}: {own.mean:.3f} "
        f"({spread(own.low, own.high)}) on {rows} of today's held-out rows{learned}."
    )


def lead_sentence(version: str, untrained: str, lead: Interval, confidence: float) -> str:
    """Return how the champion stands against the best untrained arm."""
    known = "better than" if lead.low > 0 else "worse than" if lead.high < 0 else "not distinguishable from"
    return (
        f"version {version} is {known} {untrained}, the best untrained arm on these rows, {at_confidence(confidence)}: "
        f"{lead.mean:+.3f} ({signed_spread(lead.low, lead.high)})."
    )


def challenger_sentence(
    version: str, arm: str, difference: Interval, outcome: str, needed: int | None, decision: DecisionConfig
) -> str:
    """Return how today's adapter compares with the champion, which also explains its place in the registry."""
    champion, confident = f"the champion, version {version}", at_confidence(decision.confidence)
    compared = {
        "better": f"is better than {champion}, {confident}",
        "worse": f"is worse than {champion}, {confident}",
        "not_worse": f"is not worse than {champion}: it loses less than {decision.worth:g} {confident}",
        "unclear": f"is not shown to be as good as {champion}, which stays",
    }[outcome]
    more = f"; about {needed} rows would be enough to decide" if needed else ""
    return (
        f"{arm} {compared}: {difference.mean:+.3f} ({signed_spread(difference.low, difference.high)}) on the same "
        f"rows{more}."
    )
