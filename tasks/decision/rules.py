"""From numbers to a verdict: the simplest arm that is good enough wins, and a tuned one has to earn its place.

"At confidence" means: the whole interval of `decision.confidence` lies on that side.

1. An untrained arm is good enough when it meets the target at confidence. The simplest such arm is the verdict.
2. A tuned arm earns its place when its paired gain over the best untrained arm is at least `worth`, and above zero at
   confidence.
3. The gate refuses an adapter that lost more than the margin on any benchmark task at confidence; its arms are out,
   however well they scored.
4. The simplest tuned arm that is good enough, earned its place and passed the gate is the verdict.
5. Otherwise: `none_good_enough` when every arm misses the target at confidence, else `undecided`, with the number of
   rows that would be enough.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from schemas.reports import ArmReport, GateReport, Verdict, VerdictName
from tasks.decision.gate import judge_forgetting
from tasks.decision.wording import arm_sentence, gate_sentence, headline, undecided_sentence
from tasks.statistics.clusters import FEWEST_GROUPS
from tasks.statistics.power import groups_to_tell_apart

if TYPE_CHECKING:
    from schemas.artifacts import BenchmarkArtifact
    from schemas.config import DecisionConfig

VERDICT_OF: dict[str, VerdictName] = {
    "prompt": "prompt",
    "few_shot": "few_shot",
    "retrieval": "retrieval",
    "tuned": "finetune",
    "tuned_retrieval": "finetune+retrieval",
}


def judge(
    arms: list[ArmReport], benchmark: BenchmarkArtifact | None, decision: DecisionConfig, margin: float | None
) -> Verdict:
    """Return the verdict on arms that are ordered from the simplest to the most complex."""
    gate = judge_forgetting(benchmark, margin) if benchmark is not None and margin is not None else None
    sufficient = next((arm for arm in arms if arm.gain is None and arm.standing == "good"), None)
    earned = [arm for arm in arms if has_earned(arm, decision.worth)]
    is_open = gate is None or gate.is_passed
    tuned = next((arm for arm in earned if arm.standing == "good"), earned[0] if earned else None)
    winner = sufficient or (tuned if tuned and tuned.standing == "good" and is_open else None)
    name = VERDICT_OF[winner.arm] if winner else _without_winner(arms, is_open)
    groups = _groups_needed(arms, decision) if name == "undecided" else None
    needed = math.ceil(groups * arms[0].rows / arms[0].groups) if groups else None
    return Verdict(
        verdict=name,
        headline=headline(name, arms, winner, tuned, is_open, decision),
        reasons=_reasons(arms, gate, decision, needed),
        target=decision.target,
        worth=decision.worth,
        confidence=decision.confidence,
        rows=arms[0].rows,
        groups_needed=groups,
        rows_needed=needed,
        arms=tuple(arms),
        gate=gate,
        is_sufficient=sufficient is not None,
        is_refused_by_gate=tuned is not None and not is_open,
        promotes=tuned is not None and is_open and sufficient is None,
        tuned_arm=tuned.arm if tuned else None,
    )


def has_earned(arm: ArmReport, worth: float) -> bool:
    """Tell whether a tuned arm's gain over the best untrained arm is at least `worth`, and above zero at confidence."""
    return (
        arm.gain is not None
        and arm.gain_low is not None
        and arm.gain >= worth
        and arm.gain_low > 0
        and arm.groups >= FEWEST_GROUPS
    )


def _without_winner(arms: list[ArmReport], is_open: bool) -> VerdictName:
    """Return the verdict without a winner; an arm that the gate refused counts for nothing, however well it scored."""
    allowed = [arm for arm in arms if is_open or arm.gain is None]
    return "none_good_enough" if all(arm.standing == "short" for arm in allowed) else "undecided"


def _groups_needed(arms: list[ArmReport], decision: DecisionConfig) -> int | None:
    """Return the groups at which the best arm that cannot be told from the target could be, if it can be estimated."""
    unclear = [arm for arm in arms if arm.standing == "unclear"]
    if not unclear:
        return None
    best = max(unclear, key=lambda arm: arm.score)
    return groups_to_tell_apart(best.score, best.low, best.high, best.groups, decision.target, decision.confidence)


def _reasons(
    arms: list[ArmReport], gate: GateReport | None, decision: DecisionConfig, needed: int | None
) -> tuple[str, ...]:
    lines = [arm_sentence(arm, decision) for arm in arms]
    if gate:
        lines += [gate_sentence(task, gate.margin, decision.confidence) for task in gate.tasks]
    if needed:
        lines.append(undecided_sentence(arms[0].rows, needed))
    return tuple(lines)
