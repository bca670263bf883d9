"""The verdict follows from the numbers: each rule has a case in which breaking it is seen."""

from __future__ import annotations

import pytest

from schemas.artifacts import BenchmarkArtifact, BenchmarkTask
from schemas.config import DecisionConfig
from schemas.reports import ArmReport
from tasks.decision.comparison import standing
from tasks.decision.gate import judge_forgetting
from tasks.decision.rules import judge
from tasks.intervals import Interval

DECISION = DecisionConfig(target=0.8, worth=0.05, confidence=0.95)


def an_arm(arm: str, score: float, half: float = 0.05, gain: tuple[float, float, float] | None = None) -> ArmReport:
    interval = Interval(score, score - half, score + half, 80)
    mean, low, high = gain or (None, None, None)
    return ArmReport(
        arm=arm,
        rows=80,
        groups=80,
        score=score,
        low=interval.low,
        high=interval.high,
        valid_rate=1,
        stopped_rate=1,
        prompt_tokens=50,
        output_tokens=20,
        standing=standing(interval, DECISION.target),
        gain=mean,
        gain_low=low,
        gain_high=high,
    )


@pytest.mark.parametrize(
    ("low", "high", "told", "is_passed"),
    [
        (-0.05, 0.08, "within the margin of 0.05 at 95% confidence.", True),
        (-0.183, 0.012, "inconclusive, as the interval crosses the margin of 0.05.", True),
        (-0.2, -0.05, "inconclusive, as the interval crosses the margin of 0.05.", True),
        (-0.183, -0.051, "beyond the margin of 0.05 at 95% confidence.", False),
    ],
)
def test_the_sentence_on_a_benchmark_task_says_what_its_interval_tells_of_the_margin(
    low: float, high: float, told: str, is_passed: bool
) -> None:
    task = BenchmarkTask(task="grammar", items=82, base=0.744, tuned=0.659, difference=-0.085, low=low, high=high)
    verdict = judge([an_arm("prompt", 0.5)], BenchmarkArtifact(digest="b", tasks=(task,)), DECISION, 0.05)
    (sentence,) = [reason for reason in verdict.reasons if reason.startswith("benchmark")]
    assert (
        sentence
        == f"benchmark grammar: 0.744 before, 0.659 after, -0.085 ({low:+.3f} to {high:+.3f}) on 82 items: {told}"
    )
    assert verdict.gate is not None and verdict.gate.is_passed == is_passed


def test_the_gate_counts_its_tasks_by_their_standing_and_names_those_that_are_not_within() -> None:
    bounds = {"kept": (-0.01, 0.02), "grammar": (-0.1, 0.02), "facts": (-0.06, 0.0), "lost": (-0.3, -0.1)}
    tasks = tuple(
        BenchmarkTask(task=name, items=9, base=0.5, tuned=0.4, difference=low, low=low, high=high)
        for name, (low, high) in bounds.items()
    )
    gate = judge_forgetting(BenchmarkArtifact(digest="b", tasks=tasks), 0.05)
    counts = "of 4 benchmark tasks, 1 within the margin of 0.05, 2 inconclusive (grammar, facts), 1 beyond it (lost)"
    assert gate.in_words == f"Gate shut: {counts}"
    assert (
        judge_forgetting(BenchmarkArtifact(digest="b", tasks=tasks[:1]), 0.05).in_words
        == "Gate open: of 1 benchmark task, 1 within the margin of 0.05"
    )


def a_benchmark(is_passed: bool) -> BenchmarkArtifact:
    task = BenchmarkTask(
        task="grammar", items=100, base=0.8, tuned=0.6, difference=-0.2, low=-0.3, high=0.0 if is_passed else -0.1
    )
    return BenchmarkArtifact(digest="b", tasks=(task,))


def test_the_simplest_arm_that_meets_the_target_wins_over_a_better_one() -> None:
    verdict = judge([an_arm("prompt", 0.5), an_arm("few_shot", 0.87), an_arm("retrieval", 0.95)], None, DECISION, 0.05)
    assert (verdict.verdict, verdict.is_sufficient) == ("few_shot", True)


def test_an_arm_whose_interval_reaches_below_the_target_is_not_sufficient() -> None:
    verdict = judge([an_arm("prompt", 0.84)], None, DECISION, 0.05)
    assert (verdict.verdict, verdict.is_sufficient) == ("undecided", False)


def test_undecided_says_how_many_rows_are_needed() -> None:
    verdict = judge([an_arm("prompt", 0.82, half=0.04)], None, DECISION, 0.05)
    # half the distance needs four times the groups, and 8 of 10 cases instead of 5 another 2.15 times
    assert (verdict.groups_needed, verdict.rows_needed) == (688, 688)
    assert "about 688" in verdict.reasons[-1]


def test_seven_groups_decide_nothing_however_clear_the_numbers_are() -> None:
    few = Interval(0.95, 0.9, 1.0, 7)
    assert standing(few, 0.8) == standing(Interval(0.3, 0.2, 0.4, 7), 0.8) == "unclear"
    tuned = an_arm("tuned", 0.9, gain=(0.4, 0.3, 0.5)).model_copy(update={"groups": 7, "standing": "unclear"})
    verdict = judge([an_arm("prompt", 0.5), tuned], None, DECISION, 0.05)
    assert (verdict.verdict, verdict.tuned_arm) == ("undecided", None)


def test_a_tuned_arm_that_earned_its_place_is_the_verdict_and_promotes() -> None:
    verdict = judge(
        [an_arm("prompt", 0.5), an_arm("tuned", 0.9, gain=(0.4, 0.3, 0.5))], a_benchmark(True), DECISION, 0.05
    )
    assert (verdict.verdict, verdict.promotes, verdict.tuned_arm) == ("finetune", True, "tuned")


def test_a_closed_gate_refuses_what_would_have_won() -> None:
    verdict = judge(
        [an_arm("prompt", 0.5), an_arm("tuned", 0.9, gain=(0.4, 0.3, 0.5))], a_benchmark(False), DECISION, 0.05
    )
    assert verdict.is_refused_by_gate and not verdict.promotes
    assert verdict.verdict == "none_good_enough"
    assert "gate refuses" in verdict.headline


def test_a_closed_gate_leaves_the_untrained_arms_as_they_stand() -> None:
    verdict = judge(
        [an_arm("prompt", 0.78), an_arm("tuned", 0.9, gain=(0.12, 0.1, 0.14))], a_benchmark(False), DECISION, 0.05
    )
    assert (verdict.verdict, verdict.is_refused_by_gate) == ("undecided", True)


def test_a_gain_below_worth_does_not_earn_a_place() -> None:
    verdict = judge(
        [an_arm("prompt", 0.84), an_arm("tuned", 0.87, gain=(0.03, 0.01, 0.05))], a_benchmark(True), DECISION, 0.05
    )
    assert not verdict.promotes
    assert verdict.verdict == "undecided"


def test_a_gain_that_may_be_nothing_does_not_earn_a_place() -> None:
    verdict = judge(
        [an_arm("prompt", 0.7), an_arm("tuned", 0.87, gain=(0.17, -0.01, 0.3))], a_benchmark(True), DECISION, 0.05
    )
    assert not verdict.promotes


def test_retrieval_on_top_wins_only_where_tuning_alone_is_not_good_enough() -> None:
    arms = [
        an_arm("prompt", 0.3),
        an_arm("tuned", 0.7, gain=(0.4, 0.3, 0.5)),
        an_arm("tuned_retrieval", 0.9, gain=(0.6, 0.5, 0.7)),
    ]
    assert judge(arms, a_benchmark(True), DECISION, 0.05).verdict == "finetune+retrieval"


def test_a_big_gain_short_of_the_target_is_registered_but_is_no_verdict_for_tuning() -> None:
    verdict = judge(
        [an_arm("prompt", 0.1), an_arm("tuned", 0.6, gain=(0.5, 0.4, 0.6))], a_benchmark(True), DECISION, 0.05
    )
    assert (verdict.verdict, verdict.promotes) == ("none_good_enough", True)


@pytest.mark.parametrize(("score", "expected"), [(0.9, "good"), (0.8, "unclear"), (0.7, "short")])
def test_standing_needs_the_whole_interval(score: float, expected: str) -> None:
    assert standing(Interval(score, score - 0.05, score + 0.05, 80), 0.8) == expected
