"""What arms cost, which of them are beyond a limit, and when training has paid for itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from schemas.findings.costs import ArmCost, CostReport
from schemas.reports import ArmReport, Verdict
from tasks.decision.verdict.comparison import TRAINED
from tasks.decision.verdict.wording import count

if TYPE_CHECKING:
    from schemas.artifacts import AdapterArtifact, TimingArtifact
    from schemas.sections.costs import CostsConfig
    from schemas.sections.decision import DecisionConfig


def costs_of(
    arms: Sequence[ArmReport], timings: Sequence[TimingArtifact], costs: CostsConfig | None
) -> dict[str, ArmCost]:
    """Return what each arm that was timed takes."""
    reports = {arm.arm: arm for arm in arms}
    found = {}
    for timing in timings:
        arm = reports[timing.arm]
        price = costs.per_thousand_answers(arm.prompt_tokens, arm.output_tokens, timing.mean) if costs else None
        found[arm.arm] = ArmCost(
            arm=arm.arm, rows=timing.rows, p50_seconds=timing.p50, p95_seconds=timing.p95, per_thousand=price
        )
    return found


def within_limits(arms: Sequence[ArmReport], costs: Mapping[str, ArmCost], decision: DecisionConfig) -> list[ArmReport]:
    """Return the arms with what each is beyond, the cheapest first: money breaks ties between equal arms."""
    marked = [arm.model_copy(update={"beyond": _beyond(costs.get(arm.arm), decision)}) for arm in arms]
    return sorted(marked, key=lambda arm: _price(costs.get(arm.arm)))


def _price(cost: ArmCost | None) -> float:
    return cost.per_thousand if cost is not None and cost.per_thousand is not None else 0.0


def _beyond(cost: ArmCost | None, decision: DecisionConfig) -> str:
    if cost is None:
        return ""
    if decision.max_seconds is not None and cost.p95_seconds > decision.max_seconds:
        return f"takes up to {cost.p95_seconds:.2f} s an answer, above decision.max_seconds {decision.max_seconds:g}"
    if decision.max_cost is not None and cost.per_thousand is not None and cost.per_thousand > decision.max_cost:
        return f"costs {cost.per_thousand:.2f} for 1,000 answers, above decision.max_cost {decision.max_cost:g}"
    return ""


def with_costs(
    verdict: Verdict, found: Mapping[str, ArmCost], costs: CostsConfig | None, adapter: AdapterArtifact | None
) -> Verdict:
    """Return the verdict with what its arms cost, and when its tuned arm has paid for its training."""
    training = costs.hours(adapter.seconds) if costs and adapter else None
    needed, told = _break_even(verdict, found, costs, training)
    currency = costs.currency if costs else None
    lines = [_arm_line(cost, currency) for cost in found.values()]
    report = CostReport(
        currency=currency,
        arms=tuple(found.values()),
        training=training,
        break_even_requests=needed,
        in_words=(*lines, *told),
    )
    return verdict.model_copy(update={"costs": report, "reasons": (*verdict.reasons, *report.in_words)})


def _arm_line(cost: ArmCost, currency: str | None) -> str:
    seconds = f"{cost.arm}: {cost.p50_seconds:.2f} s an answer, {cost.p95_seconds:.2f} s at the 95th percentile"
    return seconds if cost.per_thousand is None else f"{seconds}; {cost.per_thousand:.2f} {currency} for 1,000 answers"


def _break_even(
    verdict: Verdict, found: Mapping[str, ArmCost], costs: CostsConfig | None, training: float | None
) -> tuple[int | None, list[str]]:
    """Return after how many answers the training has paid for itself against the cheapest untrained arm that meets the
    target (the best one, where none does), and how that is said.
    """
    tuned = verdict.tuned_arm or next((arm.arm for arm in verdict.arms if arm.arm in TRAINED), None)
    untrained = [arm for arm in verdict.arms if arm.arm not in TRAINED and arm.arm in found]
    if costs is None or training is None or tuned is None or tuned not in found or not untrained:
        return None, []
    enough = [arm for arm in untrained if arm.standing == "good"] or [max(untrained, key=lambda arm: arm.score)]
    rival = min((found[arm.arm] for arm in enough), key=_price)
    saved = _price(rival) - _price(found[tuned])
    spent = f"training took {training:.2f} {costs.currency}"
    if saved <= 0:
        return None, [f"{spent}; {tuned} costs no less than {rival.arm}, so it never pays for itself in money"]
    needed = math.ceil(1000 * training / saved)
    months = f", {needed / costs.requests_per_month:.1f} months" if costs.requests_per_month else ""
    saving = f"{tuned} saves {saved:.2f} {costs.currency} for 1,000 answers against {rival.arm}"
    return needed, [f"{spent}; {saving}: paid for after {count(needed, 'answer')}{months}"]
