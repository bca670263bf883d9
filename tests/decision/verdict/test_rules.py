"""The verdict follows from the numbers: each rule has a case in which breaking it is seen."""

from __future__ import annotations

import pytest

from schemas.artifacts import BenchmarkArtifact
from schemas.sections.decision import DecisionConfig
from schemas.sections.task import ChoiceAnswer, TextAnswer
from tasks.decision.verdict.comparison import standing
from tasks.decision.verdict.recommending import mean_above_zero
from tasks.decision.verdict.rules import judge
from tasks.intervals import Interval
from tests.decision import measured_benchmark
from tests.decision.measured_arms import DECISION, an_arm, behind

FREE = DecisionConfig(target=None, worth=0.05, confidence=0.95)
WORTH_IT, NOT_WORTH_IT, UNCLEAR = (0.4, 0.3, 0.5), (0.01, -0.02, 0.04), (0.05, 0.0, 0.1)


def a_benchmark(is_passed: bool) -> BenchmarkArtifact:
    return measured_benchmark.a_benchmark(measured_benchmark.a_task("kept" if is_passed else "lost"))


def test_the_simplest_arm_that_meets_the_target_wins_over_a_better_one() -> None:
    verdict = judge(
        [an_arm("prompt", 0.5), an_arm("few_shot", 0.87), an_arm("retrieval", 0.95)], None, DECISION, "kept"
    )
    assert (verdict.verdict, verdict.arm, verdict.is_sufficient) == ("few_shot", "few_shot", True)


def test_an_arm_whose_interval_reaches_below_the_target_is_not_sufficient() -> None:
    verdict = judge([an_arm("prompt", 0.84)], None, DECISION, "kept")
    assert (verdict.verdict, verdict.is_sufficient) == ("undecided", False)


def test_undecided_says_how_many_groups_and_rows_are_needed() -> None:
    verdict = judge([an_arm("prompt", 0.82, half=0.04)], None, DECISION, "kept")
    # half the distance needs four times the groups, and 8 of 10 cases instead of 5 another 2.15 times
    (doubt,) = verdict.doubts
    assert (doubt.arm, doubt.about, doubt.groups_needed, doubt.rows_needed) == ("prompt", "target", 688, 1376)
    assert "about 1,376 rows in 688 groups would tell" in verdict.reasons[-1]
    assert "Use prompt meanwhile; about 608 more groups (1,216 rows) would tell whether prompt meets the target" in (
        verdict.recommendation
    )


def test_where_only_the_gain_is_unclear_the_groups_are_those_that_tell_the_gain() -> None:
    arms = [an_arm("prompt", 0.7), an_arm("tuned", 0.9, gain=(0.07, 0.03, 0.11))]
    verdict = judge(arms, a_benchmark(True), DECISION, "kept")
    (doubt,) = verdict.doubts
    assert (verdict.verdict, verdict.arm, doubt.arm, doubt.about) == ("undecided", "prompt", "tuned", "gain")
    assert doubt.groups_needed == 688
    assert "would tell whether tuned adds 0.05" in verdict.recommendation


def test_groups_that_nobody_will_collect_are_not_recommended() -> None:
    verdict = judge([an_arm("prompt", 0.805)], None, DECISION, "kept")
    assert (verdict.doubts[0].groups_needed or 0) > 20 * 80
    assert "More rows are not likely to tell" in verdict.recommendation


def test_numbers_on_the_line_are_not_said_to_be_a_matter_of_rows() -> None:
    verdict = judge([an_arm("prompt", 0.8)], None, DECISION, "kept")
    assert verdict.doubts[0].groups_needed is None
    assert "decide by cost" in verdict.recommendation


def test_the_doubt_that_fewest_groups_settle_comes_first() -> None:
    """Retrieval would need 2,000 groups or so to be shown good enough; that tuning is not worth it needs far fewer."""
    arms = [an_arm("retrieval", 0.81, half=0.05), an_arm("tuned", 0.83, half=0.05, gain=(0.02, -0.02, 0.06))]
    verdict = judge(arms, a_benchmark(True), DECISION, "kept")
    assert verdict.verdict == "undecided"
    assert next((doubt.arm, doubt.about) for doubt in verdict.doubts) == ("tuned", "gain")
    assert {(doubt.arm, doubt.about) for doubt in verdict.doubts} == {
        ("retrieval", "target"),
        ("tuned", "target"),
        ("tuned", "gain"),
    }


@pytest.mark.parametrize("decision", [DECISION, FREE])
def test_seven_groups_decide_nothing_however_clear_the_numbers_are(decision: DecisionConfig) -> None:
    few = Interval(0.95, 0.9, 1.0, 7)
    assert standing(few, 0.8) == standing(Interval(0.3, 0.2, 0.4, 7), 0.8) == "unclear"
    tuned = an_arm("tuned", 0.9, gain=WORTH_IT, decision=decision, groups=7)
    verdict = judge([an_arm("prompt", 0.5, decision=decision, groups=7), tuned], None, decision, "kept")
    assert (verdict.verdict, verdict.tuned_arm) == ("undecided", None)
    assert "Nothing can be told at 95% confidence below 8 groups" in verdict.recommendation
    assert verdict.reasons[0].startswith("7 groups of held-out rows: below 8 nothing is claimed at 95% confidence")


def test_a_tuned_arm_whose_gain_is_worth_it_is_the_verdict_and_promotes() -> None:
    verdict = judge([an_arm("prompt", 0.5), an_arm("tuned", 0.9, gain=WORTH_IT)], a_benchmark(True), DECISION, "kept")
    assert (verdict.verdict, verdict.promotes, verdict.tuned_arm) == ("finetune", True, "tuned")
    assert "it gains 0.300 or more over the best untrained arm" in verdict.recommendation


def test_a_closed_gate_refuses_what_would_have_won_and_the_headline_is_about_the_arm_that_is_left() -> None:
    verdict = judge([an_arm("prompt", 0.5), an_arm("tuned", 0.9, gain=WORTH_IT)], a_benchmark(False), DECISION, "kept")
    assert verdict.is_refused_by_gate and not verdict.promotes
    assert (verdict.verdict, verdict.arm) == ("none_good_enough", "prompt")
    assert "gate refuses" in verdict.headline and "prompt scores 0.500" in verdict.headline
    assert "0.9" not in verdict.headline


def test_a_closed_gate_leaves_the_untrained_arms_as_they_stand() -> None:
    arms = [an_arm("prompt", 0.78), an_arm("tuned", 0.9, gain=(0.12, 0.1, 0.14))]
    verdict = judge(arms, a_benchmark(False), DECISION, "kept")
    assert (verdict.verdict, verdict.is_refused_by_gate) == ("undecided", True)
    assert [(doubt.arm, doubt.about) for doubt in verdict.doubts] == [("prompt", "target")]


@pytest.mark.parametrize("gain", [(0.03, 0.01, 0.05), (0.06, 0.031, 0.09), (0.17, -0.01, 0.3)])
def test_a_gain_whose_low_end_is_below_worth_does_not_earn_a_place(gain: tuple[float, float, float]) -> None:
    verdict = judge([an_arm("prompt", 0.7), an_arm("tuned", 0.87, gain=gain)], a_benchmark(True), DECISION, "kept")
    assert (verdict.verdict, verdict.promotes, verdict.tuned_arm) == ("undecided", False, None)


def test_a_tuned_arm_that_works_but_gains_too_little_is_not_worth_tuning_and_no_matter_of_rows() -> None:
    decision = DecisionConfig(target=0.85, worth=0.1)
    arms = [
        an_arm("prompt", 0.8, half=0.02, decision=decision),
        an_arm("tuned", 0.87, half=0.015, gain=(0.07, 0.06, 0.08), decision=decision),
    ]
    verdict = judge(arms, a_benchmark(True), decision, "kept")
    assert (verdict.verdict, verdict.arm, verdict.doubts) == ("not_worth_tuning", "prompt", ())
    assert verdict.headline == (
        "Tuning is not worth it. Use prompt: it scores 0.800 (0.780 to 0.820) and misses the target of "
        "0.85 at 95% confidence."
    )
    assert "do not tune: tuned adds at most 0.080, and 0.1 was asked for" in verdict.recommendation


def test_retrieval_on_top_wins_where_tuning_alone_is_not_good_enough() -> None:
    arms = [
        an_arm("prompt", 0.3),
        an_arm("tuned", 0.7, gain=(0.4, 0.3, 0.5)),
        an_arm("tuned_retrieval", 0.9, gain=(0.6, 0.5, 0.7)),
    ]
    assert judge(arms, a_benchmark(True), DECISION, "kept").verdict == "finetune+retrieval"


@pytest.mark.parametrize(
    ("lag", "registered"),
    [
        ((-0.093, -0.16, -0.06), "tuned_retrieval"),
        ((-0.02, -0.08, 0.04), "tuned_retrieval"),
        ((-0.02, -0.04, 0.0), "tuned"),
    ],
)
def test_the_tuned_arm_that_is_registered_is_the_simplest_that_keeps_up_with_the_best_one(
    lag: tuple[float, float, float], registered: str
) -> None:
    """The question-answering set: tuned 0.138, tuned_retrieval 0.231, the best untrained arm 0.097."""
    decision = DecisionConfig(target=None, worth=0.03)
    best = an_arm("tuned_retrieval", 0.231, gain=(0.134, 0.08, 0.19), decision=decision)
    plain = an_arm("tuned", 0.138, gain=(0.041, 0.031, 0.06), decision=decision)
    arms = [an_arm("prompt", 0.097, decision=decision), behind(plain, "tuned_retrieval", lag), best]
    verdict = judge(arms, a_benchmark(True), decision, "kept")
    assert (verdict.tuned_arm, verdict.arm) == (registered, registered)
    own = next(arm for arm in arms if arm.arm == registered)
    assert f"{registered} scores {own.score:.3f}" in verdict.headline
    assert f"it gains {own.gain:+.3f}" in verdict.headline


def test_a_big_gain_short_of_the_target_is_registered_but_is_no_verdict_for_tuning() -> None:
    verdict = judge(
        [an_arm("prompt", 0.1), an_arm("tuned", 0.6, gain=(0.5, 0.4, 0.6))], a_benchmark(True), DECISION, "kept"
    )
    assert (verdict.verdict, verdict.arm, verdict.promotes) == ("none_good_enough", "tuned", True)
    assert "use tuned, which scores 0.600 of 0.8" in verdict.recommendation


@pytest.mark.parametrize(
    ("gain", "expected"),
    [
        (WORTH_IT, ("finetune", "tuned")),
        (NOT_WORTH_IT, ("not_worth_tuning", "retrieval")),
        (UNCLEAR, ("undecided", "retrieval")),
        (None, ("retrieval", "retrieval")),
    ],
)
def test_without_a_target_the_gain_alone_decides_on_tuning(
    gain: tuple[float, float, float] | None, expected: tuple[str, str]
) -> None:
    arms = [behind(an_arm("prompt", 0.3, decision=FREE), "retrieval", (-0.2, -0.3, -0.1))]
    arms += [an_arm("retrieval", 0.5, decision=FREE)]
    arms += [an_arm("tuned", 0.55, gain=gain, decision=FREE)] if gain else []
    verdict = judge(arms, a_benchmark(True) if gain else None, FREE, "kept")
    assert (verdict.verdict, verdict.arm) == expected
    assert not verdict.is_sufficient, "without a target no untrained arm withholds a training"


def test_without_a_target_the_simplest_arm_that_keeps_up_with_the_best_is_named() -> None:
    near = behind(an_arm("prompt", 0.48, decision=FREE), "retrieval", (-0.02, -0.04, 0.0))
    verdict = judge([near, an_arm("retrieval", 0.5, decision=FREE)], None, FREE, "kept")
    assert (verdict.verdict, verdict.arm) == ("prompt", "prompt")


def test_without_a_target_a_verdict_without_training_does_not_say_that_tuning_adds_nothing() -> None:
    verdict = judge([an_arm("prompt", 0.5, decision=FREE)], None, FREE, None)
    assert "not tune" not in verdict.headline + verdict.recommendation
    assert "whether tuning adds 0.05 was not measured" in verdict.recommendation


def test_without_a_target_the_best_of_several_has_to_be_shown_to_be_no_worse_than_the_others() -> None:
    best = behind(an_arm("retrieval", 0.52, decision=FREE), "prompt", (0.02, -0.08, 0.12))
    near = behind(an_arm("prompt", 0.5, decision=FREE), "retrieval", (-0.02, -0.12, 0.08))
    verdict = judge([near, best], None, FREE, None)
    (doubt,) = verdict.doubts
    assert (verdict.verdict, verdict.arm, doubt.arm, doubt.about) == ("undecided", "retrieval", "retrieval", "rivals")
    assert doubt.question == "whether retrieval is not worse than prompt by 0.05"
    tuned = an_arm("tuned", 0.9, gain=WORTH_IT, decision=FREE)
    assert judge([near, best, tuned], None, FREE, None).verdict == "finetune", "tuning does not wait for that"


def test_without_a_target_an_adapter_that_the_gate_refused_leaves_the_best_untrained_arm() -> None:
    arms = [an_arm("prompt", 0.5, decision=FREE), an_arm("tuned", 0.9, gain=WORTH_IT, decision=FREE)]
    verdict = judge(arms, a_benchmark(False), FREE, "kept")
    assert (verdict.verdict, verdict.arm, verdict.is_refused_by_gate, verdict.promotes) == (
        "prompt",
        "prompt",
        True,
        False,
    )
    assert "forgets less" in verdict.recommendation


def test_an_arm_that_breaks_its_contract_is_never_the_verdict_whatever_its_score() -> None:
    broken = an_arm("prompt", 0.95).model_copy(update={"breaks_contract": True, "valid_rate": 0.1})
    decision = DECISION.model_copy(update={"valid": 0.95})
    verdict = judge([broken, an_arm("few_shot", 0.9)], None, decision, "kept")
    assert verdict.verdict == "few_shot"
    alone = judge([broken], None, decision, "kept")
    assert alone.verdict == "none_good_enough"
    assert "only 10% of its answers meet the contract, below 95% at 95% confidence" in alone.reasons[0]


def test_the_contract_is_asked_of_answers_that_have_one() -> None:
    choice = ChoiceAnswer(format="choice", labels=("a", "b"))
    assert FREE.for_answers(choice).valid == 0.95
    assert FREE.for_answers(TextAnswer(pattern="[A-Z]+")).valid == 0.95
    assert FREE.for_answers(TextAnswer()).valid is None
    assert DecisionConfig(valid=0.5).for_answers(choice).valid == 0.5


def test_the_regret_of_tuning_counts_what_tuning_has_to_be_worth() -> None:
    clear = judge([an_arm("prompt", 0.5), an_arm("tuned", 0.9, gain=WORTH_IT)], None, DECISION, "kept")
    assert clear.regret < 0.001 and "less than 0.001" in clear.recommendation
    half = judge([an_arm("prompt", 0.84), an_arm("tuned", 0.89, gain=UNCLEAR)], None, DECISION, "kept")
    # the gain is as likely above worth as below it: a spread of 0.0255 loses 0.4 of itself on average
    assert half.regret == pytest.approx(0.0255 * 0.399, abs=1e-3)


@pytest.mark.parametrize(("mean", "spread", "expected"), [(0.1, 0.0, 0.1), (-0.1, 0.0, 0.0), (0.0, 1.0, 0.3989)])
def test_the_mean_above_zero_of_a_normal(mean: float, spread: float, expected: float) -> None:
    assert mean_above_zero(mean, spread) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("score", "expected"), [(0.9, "good"), (0.8, "unclear"), (0.7, "short")])
def test_standing_needs_the_whole_interval(score: float, expected: str) -> None:
    assert standing(Interval(score, score - 0.05, score + 0.05, 80), 0.8) == expected
