"""The verdict in words: one sentence a reason, so that a person can check each against the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from schemas.config import DecisionConfig
    from schemas.reports import ArmReport, GateTask, VerdictName

STANDINGS = {"good": "meets the target", "unclear": "may or may not meet the target", "short": "misses the target"}
# What the gate asks is whether a loss is surely beyond the margin; what it lets pass is not for that within it.
LOSS_NAMES = {"within": "surely within", "unclear": "not surely beyond", "beyond": "surely beyond"}
ADVICE = {
    "prompt": "The plain prompt is enough: do not tune.",
    "few_shot": "A few examples in the prompt are enough: do not tune.",
    "retrieval": "Retrieval is enough: do not tune.",
    "finetune": "Tuning earns its place.",
    "finetune+retrieval": "Tuning earns its place, together with retrieval.",
    "none_good_enough": "No arm is good enough.",
    "undecided": "Too few rows to tell.",
}


def spread(low: float, high: float) -> str:
    """Return an interval as people read it."""
    return f"{low:.3f} to {high:.3f}"


def signed_spread(low: float, high: float) -> str:
    """Return the interval of a difference as people read it."""
    return f"{low:+.3f} to {high:+.3f}"


def headline(name: VerdictName, arms: list[ArmReport], winner: ArmReport | None, tuned: ArmReport | None, is_open: bool, target: float) -> str:
    """Return the verdict in one or two sentences."""
    best = winner or max(arms, key=lambda arm: arm.score)
    numbers = f"{best.arm} scores {best.score:.3f} ({spread(best.low, best.high)}) against a target of {target:g}."
    if tuned and not is_open and not winner:
        return f"The gate refuses the adapter: it surely lost too much on a benchmark. {numbers}"
    if tuned and not winner:
        return f"{ADVICE[name]} {numbers} Tuning gains {tuned.gain:+.3f} over the best untrained arm."
    return f"{ADVICE[name]} {numbers}"


def arm_sentence(arm: ArmReport, decision: DecisionConfig) -> str:
    """Return what one arm's numbers say."""
    text = f"{arm.arm} {STANDINGS[arm.standing]} of {decision.target:g}: {arm.score:.3f} ({spread(arm.low, arm.high)}) on {arm.rows} rows"
    if arm.gain is None or arm.gain_low is None or arm.gain_high is None:
        return f"{text}."
    worth = "worth it" if arm.gain >= decision.worth and arm.gain_low > 0 else "not surely worth it" if arm.gain_high >= decision.worth else "not worth it"
    return f"{text}; {arm.gain:+.3f} ({signed_spread(arm.gain_low, arm.gain_high)}) over the best untrained arm, {worth} at {decision.worth:g}."


def gate_sentence(task: GateTask, margin: float) -> str:
    """Return what the adapter did to one benchmark task, and how its loss stands against the margin."""
    outcome = f"{LOSS_NAMES[task.standing]} the margin of {margin:g}" + (", which its interval crosses" if task.standing == "unclear" else "")
    change = f"{task.difference:+.3f} ({signed_spread(task.low, task.high)})"
    return f"benchmark {task.task}: {task.base:.3f} before, {task.tuned:.3f} after, {change} on {task.items} items: {outcome}."


def undecided_sentence(rows: int, needed: int) -> str:
    """Return how many rows it would take."""
    return f"{rows} held-out rows cannot tell; about {needed} would, if the scores stay as they are."
