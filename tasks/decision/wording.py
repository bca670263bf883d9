"""The verdict in words: one sentence a reason, so that a person can check each against the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from schemas.config import DecisionConfig
    from schemas.reports import ArmReport, GateTask, VerdictName
    from tasks.intervals import Interval

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


def headline(
    name: VerdictName,
    arms: list[ArmReport],
    winner: ArmReport | None,
    tuned: ArmReport | None,
    is_open: bool,
    target: float,
) -> str:
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
    text = (
        f"{arm.arm} {STANDINGS[arm.standing]} of {decision.target:g}: {arm.score:.3f} ({spread(arm.low, arm.high)}) "
        f"on {arm.rows} rows"
    )
    if arm.gain is None or arm.gain_low is None or arm.gain_high is None:
        return f"{text}."
    worth = (
        "worth it"
        if arm.gain >= decision.worth and arm.gain_low > 0
        else "not surely worth it"
        if arm.gain_high >= decision.worth
        else "not worth it"
    )
    return (
        f"{text}; {arm.gain:+.3f} ({signed_spread(arm.gain_low, arm.gain_high)}) over the best untrained arm, "
        f"{worth} at {decision.worth:g}."
    )


def gate_sentence(task: GateTask, margin: float) -> str:
    """Return what the adapter did to one benchmark task, and how its loss stands against the margin."""
    outcome = f"{LOSS_NAMES[task.standing]} the margin of {margin:g}" + (
        ", which its interval crosses" if task.standing == "unclear" else ""
    )
    change = f"{task.difference:+.3f} ({signed_spread(task.low, task.high)})"
    return (
        f"benchmark {task.task}: {task.base:.3f} before, {task.tuned:.3f} after, {change} on {task.items} items: "
        f"{outcome}."
    )


def undecided_sentence(rows: int, needed: int) -> str:
    """Return how many rows it would take."""
    return f"{rows} held-out rows cannot tell; about {needed} would, if the scores stay as they are."


def champion_sentence(
    version: str, own: Interval, standing: str, rows: int, left_out: int, decision: DecisionConfig
) -> str:
    """Return what the champion's own numbers say."""
    learned = f"; {left_out} that it learned are left out" if left_out else ""
    return (
        f"the champion, version {version}, {STANDINGS[standing]} of {decision.target:g}: {own.mean:.3f} "
        f"({spread(own.low, own.high)}) "
        f"on {rows} of today's held-out rows{learned}."
    )


def lead_sentence(version: str, untrained: str, lead: Interval) -> str:
    """Return how the champion stands against what needs no training."""
    sure = "surely better than" if lead.low > 0 else "surely worse than" if lead.high < 0 else "not surely other than"
    return (
        f"version {version} is {sure} {untrained}, the best untrained arm there: {lead.mean:+.3f} "
        f"({signed_spread(lead.low, lead.high)})."
    )


def challenger_sentence(
    version: str, arm: str, difference: Interval, outcome: str, needed: int | None, worth: float
) -> str:
    """Return what today's adapter is beside the champion; it also tells why a version was placed where it was."""
    said = {
        "better": f"surely better than the champion, version {version}",
        "worse": f"surely worse than the champion, version {version}",
        "not_worse": f"not worse than the champion, version {version}: it surely loses less than {worth:g}",
        "unclear": f"not surely as good as the champion, version {version}, which stays",
    }[outcome]
    more = f"; about {needed} rows would tell" if needed else ""
    return (
        f"{arm} is {said}: {difference.mean:+.3f} ({signed_spread(difference.low, difference.high)}) on the same "
        f"rows{more}."
    )
