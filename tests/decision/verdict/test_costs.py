"""What arms cost follows from prices that the user gave; limits and ties are decided by it, and nothing is invented."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from schemas.artifacts import AdapterArtifact, TimingArtifact
from schemas.reports import ArmReport
from schemas.sections.costs import CostsConfig
from schemas.sections.decision import DecisionConfig
from tasks.decision.verdict.costs import costs_of, with_costs, within_limits
from tasks.decision.verdict.rules import judge
from tests.decision.measured_arms import DECISION, an_arm

HOURLY = CostsConfig(currency="EUR", machine_hour=3.6)
ADAPTER = AdapterArtifact(
    method="lora",
    base_digest="b",
    template_digest="t",
    parameters=1,
    steps=1,
    train_tokens=1,
    train_loss=1.0,
    validation_loss=1.0,
    seconds=1000.0,
)


def timing(arm: str, mean: float, p95: float | None = None) -> TimingArtifact:
    return TimingArtifact(arm=arm, rows=20, mean=mean, p50=mean, p95=mean if p95 is None else p95)


def arms(**tokens: float) -> list[ArmReport]:
    reports = [an_arm("prompt", 0.9), an_arm("few_shot", 0.9), an_arm("tuned", 0.92, gain=(0.02, 0.0, 0.04))]
    return [arm.model_copy(update=tokens) for arm in reports]


def test_an_answer_costs_its_tokens_and_its_seconds() -> None:
    prices = CostsConfig(currency="EUR", machine_hour=3.6, input_tokens=2.0, output_tokens=10.0)
    # 1,000 answers: 100,000 tokens in at 2 a million, 5,000 out at 10 a million, 500 s at 3.6 an hour
    assert prices.per_thousand_answers(100, 5, 0.5) == pytest.approx(0.2 + 0.05 + 0.5)
    thousands = prices.model_copy(update={"per": "thousand_tokens"})
    assert thousands.per_thousand_answers(100, 5, 0.5) == pytest.approx(200 + 50 + 0.5)


def test_arms_that_are_as_good_are_taken_from_the_cheapest_on() -> None:
    timings = [timing("prompt", 2.0), timing("few_shot", 1.0), timing("tuned", 0.5)]
    found = costs_of(arms(), timings, HOURLY)
    assert judge(arms(), None, DECISION, None).verdict == "prompt"
    assert judge(within_limits(arms(), found, DECISION), None, DECISION, None).verdict == "few_shot"


@pytest.mark.parametrize(
    ("limit", "told"), [({"max_seconds": 1.5}, "takes up to 3.00 s"), ({"max_cost": 1.5}, "costs 2.00 for 1,000")]
)
def test_an_arm_beyond_a_limit_is_not_good_enough_and_says_so(limit: dict[str, float], told: str) -> None:
    decision = DecisionConfig(**{**DECISION.model_dump(), **limit})
    timings = [timing("prompt", 2.0, 3.0), timing("few_shot", 1.0), timing("tuned", 0.5)]
    verdict = judge(within_limits(arms(), costs_of(arms(), timings, HOURLY), decision), None, decision, None)
    assert verdict.verdict == "few_shot"
    (sentence,) = [reason for reason in verdict.reasons if reason.startswith("prompt")]
    assert told in sentence and "not good enough" in sentence


def test_training_is_paid_for_by_what_its_answers_save() -> None:
    found = costs_of(arms(), [timing("prompt", 2.0), timing("few_shot", 3.0), timing("tuned", 0.5)], HOURLY)
    verdict = with_costs(judge(arms(), None, DECISION, None), found, HOURLY, ADAPTER)
    assert verdict.costs is not None
    # training: 1,000 s at 0.001; saved against prompt, the cheapest that is enough: 1.5 for 1,000 answers
    assert verdict.costs.training == pytest.approx(1.0)
    assert verdict.costs.break_even_requests == 667
    assert any("paid for after 667 answers" in reason for reason in verdict.reasons)


def test_a_tuned_arm_that_costs_more_never_pays_for_itself() -> None:
    found = costs_of(arms(), [timing("prompt", 0.5), timing("few_shot", 3.0), timing("tuned", 0.5)], HOURLY)
    verdict = with_costs(judge(arms(), None, DECISION, None), found, HOURLY, ADAPTER)
    assert verdict.costs is not None and verdict.costs.break_even_requests is None
    assert any("never pays for itself" in reason for reason in verdict.reasons)


def test_without_prices_there_are_seconds_and_no_money() -> None:
    found = costs_of(arms(), [timing("prompt", 2.0)], None)
    verdict = with_costs(judge(arms(), None, DECISION, None), found, None, ADAPTER)
    assert verdict.costs is not None and verdict.costs.training is None
    assert verdict.costs.in_words == ("prompt: 2.00 s an answer, 2.00 s at the 95th percentile",)


@pytest.mark.parametrize(
    "wrong",
    [
        {"currency": "EUR"},
        {"currency": "euros", "machine_hour": 1},
        {"currency": "EUR", "machine_hour": -1},
        {"currency": "EUR", "input_tokens": 1, "per": "token"},
    ],
)
def test_prices_of_nothing_below_zero_or_of_an_unknown_unit_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CostsConfig.model_validate(wrong)
