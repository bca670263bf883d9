"""The verdict in words: one sentence per reason, so that a reader can check each against the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.findings.gate import NEUTRAL
from schemas.sections.arms import GRAMMAR
from tasks.statistics.clusters import FEWEST_GROUPS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from schemas.findings.gate import GateReport
    from schemas.findings.loss import BenchmarkTask, NeutralLoss
    from schemas.reports import ArmReport, ScoreWithoutTwins, Standing, VerdictName
    from schemas.sections.decision import DecisionConfig
    from tasks.intervals import Interval
    from tasks.statistics.families import Changes

ADVICE = {
    "classifier": "A plain classifier is enough: no language model is needed.",
    "prompt": "The plain prompt is enough: do not tune.",
    "few_shot": "A few examples in the prompt are enough: do not tune.",
    "retrieval": "Retrieval is enough: do not tune.",
    "finetune": "Tuning earns its place.",
    "finetune+retrieval": "Tuning earns its place, together with retrieval.",
    "not_worth_tuning": "Tuning is not worth it.",
    "none_good_enough": "No arm is good enough.",
    "undecided": "The held-out rows do not settle it.",
}
GAIN_NAMES = {"worth_it": "worth it", "unclear": "inconclusive", "not_worth_it": "not worth it"}


def spread(low: float, high: float) -> str:
    """Return an interval in words."""
    return f"{low:.3f} to {high:.3f}"


def signed_spread(low: float, high: float) -> str:
    """Return the interval of a difference in words."""
    return f"{low:+.3f} to {high:+.3f}"


def at_confidence(confidence: float) -> str:
    """Return "at 95% confidence"."""
    return f"at {100 * confidence:g}% confidence"


def count(number: int, noun: str) -> str:
    """Return a number with its noun, such as "1 row" or "1,200 rows"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def sample(rows: int, groups: int) -> str:
    """Return "95 rows in 15 groups"."""
    return f"{count(rows, 'row')} in {count(groups, 'group')}"


def against_target(standing: Standing | None, decision: DecisionConfig) -> str:
    """Return how an arm stands, such as "misses the target of 0.8 at 95% confidence"; "" without a target."""
    if decision.target is None or standing is None:
        return ""
    if standing == "unclear":
        return f"may or may not meet the target of {decision.target:g}"
    verb = "meets" if standing == "good" else "misses"
    return f"{verb} the target of {decision.target:g} {at_confidence(decision.confidence)}"


def headline(name: VerdictName, arm: ArmReport, stopped: GateReport | None, decision: DecisionConfig) -> str:
    """Return the verdict in two sentences; the second is about the arm that the verdict names, and no other.

    `stopped` is the gate where it is not open to an adapter that earned its place.
    """
    # Without a target an untrained verdict compares the untrained arms only: it does not say that tuning adds nothing.
    is_partial = decision.target is None and name == arm.arm
    first = f"Without training, {arm.arm} is the arm to use." if is_partial else _advice(name)
    if stopped is not None and (stopped.is_shut or name.startswith("finetune")):
        first = _stopped(stopped, decision)
    against = against_target(arm.standing, decision)
    use = {"not_worth_tuning": f"Use {arm.arm}: it", "undecided": f"Meanwhile use {arm.arm}: it"}.get(name, arm.arm)
    numbers = f"{use} scores {arm.score:.3f} ({spread(arm.low, arm.high)})"
    gained = f"; it gains {_gained(arm)} over the best untrained arm" if arm.gain is not None else ""
    return f"{first} {numbers}{f' and {against}' if against else ''}{gained}."


def _advice(name: str) -> str:
    plain = name.removesuffix(GRAMMAR)
    return ADVICE[plain] if plain == name else f"{ADVICE[plain][:-1]}, with answers held to a grammar."


def _stopped(gate: GateReport, decision: DecisionConfig) -> str:
    if gate.is_shut:
        return f"The gate refuses the adapter: it lost more than the margin on {gate.lost_on} {_confident(decision)}."
    return (
        f"Tuning earns its place, but the benchmark cannot tell whether more than {gate.allowed} was lost: "
        "challenger, not champion."
    )


def _confident(decision: DecisionConfig) -> str:
    return at_confidence(decision.confidence)


def _gained(arm: ArmReport) -> str:
    return f"{arm.gain:+.3f} ({signed_spread(arm.gain_low or 0.0, arm.gain_high or 0.0)})"


def arm_sentence(arm: ArmReport, decision: DecisionConfig) -> str:
    """Return what one arm's numbers say."""
    numbers = f"{arm.score:.3f} ({spread(arm.low, arm.high)}) on {sample(arm.rows, arm.groups)}"
    against = against_target(arm.standing, decision)
    parts = [f"{arm.arm} {against}: {numbers}" if against else f"{arm.arm} scores {numbers}"]
    if arm.gain_standing is not None:
        parts.append(
            f"{_gained(arm)} over the best untrained arm{_flips(arm)}, {GAIN_NAMES[arm.gain_standing]} at a threshold "
            f"of {decision.worth:g}"
        )
    if arm.rival is not None and (arm.gain is not None or decision.target is None):
        parts.append(_lag(arm, decision))
    if arm.breaks_contract:
        parts.append(
            f"only {arm.valid_rate:.0%} of its answers meet the contract, below {decision.valid:.0%} "
            f"{_confident(decision)}, so it is not good enough"
        )
    if arm.beyond:
        parts.append(f"it {arm.beyond}, so it is not good enough")
    return f"{'; '.join(parts)}."


def _flips(arm: ArmReport) -> str:
    if arm.won is None or arm.lost is None:
        return ""
    chance = "" if arm.by_chance is None or not arm.won + arm.lost else f", p = {arm.by_chance:.2g} by sign flips"
    return f" ({flips_in_words(arm.won, arm.lost)}{chance})"


def flips_in_words(won: int, lost: int) -> str:
    """Return "won 31 rows, lost 4"."""
    return f"won {count(won, 'row')}, lost {lost:,}"


def slices_in_words(lost: Mapping[tuple[str, str], Interval]) -> str:
    """Return slices with the difference on each."""
    return ", ".join(
        f"{column} = {value}: {found.mean:+.3f} ({signed_spread(found.low, found.high)}) in "
        f"{count(found.groups, 'group')}"
        for (column, value), found in lost.items()
    )


def _lag(arm: ArmReport, decision: DecisionConfig) -> str:
    told = {
        "good": f"not worse than {arm.rival} by {decision.worth:g}",
        "short": f"falls behind {arm.rival} by more than {decision.worth:g}",
        "unclear": f"not shown to be not worse than {arm.rival} by {decision.worth:g}",
    }[arm.keeps_up]
    return f"{told}, {arm.lag:+.3f} ({signed_spread(arm.lag_low or 0.0, arm.lag_high or 0.0)})"


def few_groups_sentence(groups: int, confidence: float) -> str:
    """Return why nothing is claimed."""
    return (
        f"{count(groups, 'group')} of held-out rows: below {FEWEST_GROUPS} nothing is claimed "
        f"{at_confidence(confidence)}, however clear the numbers look."
    )


def what_is_open(arm: ArmReport, about: str, decision: DecisionConfig) -> str:
    """Return what a comparison that is missing would tell."""
    if about == "gain":
        return f"whether {arm.arm} adds {decision.worth:g} to the best untrained arm"
    if about == "target":
        return f"whether {arm.arm} meets the target of {decision.target:g}"
    if arm.rival is None:
        return f"how good {arm.arm} is"
    return f"whether {arm.arm} is not worse than {arm.rival} by {decision.worth:g}"


def doubt_sentence(question: str, groups: int | None, rows: int | None) -> str:
    """Return what is missing, and what it would take."""
    if groups is None or rows is None:
        return f"not known: {question}; the numbers lie on the line, so no number of rows is likely to tell."
    return (
        f"not known: {question}; about {sample(rows, groups)} would tell in 8 of 10 cases if the numbers stay as they "
        "are."
    )


def gate_sentences(gate: GateReport, confidence: float) -> tuple[str, ...]:
    """Return what the benchmark says of each task and of all items, and what would tell where that is not clear."""
    told = [_task_sentence(one, gate.margin, confidence) for one in gate.shown]
    told += [_neutral_sentence(gate.neutral)] if gate.neutral else []
    return (*told, *([f"{what_would_tell(gate)}."] if gate.is_inconclusive else []))


def _neutral_sentence(neutral: NeutralLoss) -> str:
    before_after = f"{neutral.base:.3f} before, {neutral.tuned:.3f} after"
    return f"loss on {neutral.texts} neutral texts: {before_after}, {neutral.in_words}: {neutral.standing}."


def _task_sentence(task: BenchmarkTask, margin: float, confidence: float) -> str:
    outcome = {
        "kept": f"kept, no more than {margin:g} lost {at_confidence(confidence)}",
        "lost": f"lost, by more than {margin:g} {at_confidence(confidence)}",
        "inconclusive": f"inconclusive, more than {margin:g} may be lost or not",
    }[task.standing]
    change = f"{task.difference:+.3f} ({signed_spread(task.low, task.high)})"
    clusters = "" if task.clusters == task.items else f" in {count(task.clusters, 'cluster')}"
    return (
        f"benchmark {task.task}: {task.base:.3f} before, {task.tuned:.3f} after, {change} on {task.items} "
        f"items{clusters}: {outcome}."
    )


def what_would_tell(gate: GateReport) -> str:
    """Return how many items would tell what an inconclusive gate turns on."""
    if gate.doubtful == NEUTRAL:
        return "more neutral texts (benchmark.neutral) would tell"
    one = next(task for task in (gate.pooled, *gate.tasks) if task.task == gate.doubtful)
    of = "all tasks" if one is gate.pooled else f"{one.task}, measured at {one.difference:+.3f},"
    if gate.items_needed is None:
        return f"the loss on {of} lies on the line, so no number of items is likely to tell"
    return f"about {gate.items_needed:,} items of {of} would tell in 8 of 10 cases if the numbers stay as they are"


def leak_sentence(rows: int, what: str, consequence: str) -> str:
    """Return what rows that are in two places mean for the verdict."""
    return f"{count(rows, 'train row')} {what}: {consequence}."


def without_twins_sentence(left_out: int, scores: Sequence[ScoreWithoutTwins]) -> str:
    """Return what is scored without the held-out rows that have a twin in train.

    Args:
        left_out: how many of the evaluated rows these are.
        scores: on the other rows; empty where there are none.
    """
    if left_out == 0:
        return "None of the evaluated rows is among those."
    if not scores:
        return f"All {left_out} evaluated rows have such a twin, so that no score is left without them."
    told = ", ".join(f"{one.arm} scores {one.score:.3f} ({spread(one.low, one.high)})" for one in scores)
    return (
        f"Without the {count(left_out, 'evaluated row')} with such a twin, on "
        f"{sample(scores[0].rows, scores[0].groups)}, {told}."
    )


def champion_sentence(
    version: str, own: Interval, standing: Standing | None, rows: int, left_out: int, decision: DecisionConfig
) -> str:
    """Return what the champion's own numbers say."""
    learned = f"; {left_out} that it may have learned are left out" if left_out else ""
    against = against_target(standing, decision)
    return (
        f"the champion, version {version}, {f'{against}:' if against else 'scores'} {own.mean:.3f} "
        f"({spread(own.low, own.high)}) on {rows} of today's held-out rows, in {count(own.groups, 'group')}{learned}."
    )


def lead_sentence(version: str, untrained: str, lead: Interval, confidence: float) -> str:
    """Return how the champion stands against the best untrained arm."""
    known, confident = "not distinguishable from", f"with {count(lead.groups, 'group')}"
    if lead.is_conclusive:
        confident = at_confidence(confidence)
        known = "better than" if lead.low > 0 else "worse than" if lead.high < 0 else known
    return (
        f"version {version} is {known} {untrained}, the best untrained arm on these rows, {confident}: "
        f"{lead.mean:+.3f} ({signed_spread(lead.low, lead.high)})."
    )


def challenger_sentence(
    version: str,
    arm: str,
    difference: Interval,
    outcome: tuple[str, str],
    flips: Changes,
    needed: tuple[int, int] | None,
    decision: DecisionConfig,
) -> str:
    """Return how today's adapter compares with the champion, which also explains its place in the registry; with the
    outcome come the slices on which it loses, and `needed` are the rows and groups that would be enough.
    """
    champion, confident = f"the champion, version {version}", at_confidence(decision.confidence)
    compared = {
        "better": f"is better than {champion}, {confident}",
        "worse": f"is worse than {champion}, {confident}",
        "not_worse": f"is not worse than {champion}: it loses less than {decision.worth:g} {confident}",
        "unclear": f"is not shown to be as good as {champion}, which stays",
        "worse_on_a_slice": f"is worse than {champion}, {confident}, on a slice of the rows, so the champion stays "
        f"({outcome[1]})",
    }[outcome[0]]
    more = f"; about {sample(*needed)} would be enough to decide" if needed else ""
    return (
        f"{arm} {compared}: {difference.mean:+.3f} ({signed_spread(difference.low, difference.high)}) on the same "
        f"rows ({flips_in_words(flips.helped, flips.hurt)}){more}."
    )
