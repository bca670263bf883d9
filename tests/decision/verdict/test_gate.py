"""The gate opens to what is shown to have kept what the base knew, and says what would tell where that is not clear."""

from __future__ import annotations

import pytest

from schemas.artifacts import BenchmarkArtifact
from schemas.findings.loss import LossStanding
from schemas.reports import Verdict
from schemas.sections.benchmark import Require
from tasks.decision.verdict.gate import judge_forgetting
from tasks.decision.verdict.rules import judge
from tests.decision.measured_arms import DECISION, an_arm
from tests.decision.measured_benchmark import a_benchmark, a_loss, a_task

POOLED = a_task("kept", "pooled", items=300)


def verdict_on(benchmark: BenchmarkArtifact, require: Require = "kept") -> Verdict:
    arms = [an_arm("prompt", 0.5), an_arm("tuned", 0.9, gain=(0.4, 0.3, 0.5))]
    return judge(arms, benchmark, DECISION, require)


@pytest.mark.parametrize(
    ("task", "pooled", "with_kept", "with_not_lost"),
    [
        ("kept", "kept", "open", "open"),
        ("inconclusive", "kept", "open", "open"),
        ("inconclusive", "inconclusive", "inconclusive", "open"),
        ("kept", "inconclusive", "inconclusive", "open"),
        ("lost", "kept", "shut", "shut"),
        ("kept", "lost", "shut", "shut"),
        ("lost", "inconclusive", "shut", "shut"),
    ],
)
def test_a_loss_anywhere_shuts_the_gate_and_only_a_pooled_result_that_is_kept_opens_it_to_a_champion(
    task: LossStanding, pooled: LossStanding, with_kept: str, with_not_lost: str
) -> None:
    benchmark = a_benchmark(a_task("kept", "grammar"), a_task(task), pooled=a_task(pooled, "pooled", items=200))
    assert judge_forgetting(benchmark, "kept").state == with_kept
    assert judge_forgetting(benchmark, "not_lost").state == with_not_lost


def test_a_knowledge_task_that_fell_from_744_to_622_makes_no_champion_though_the_pooled_result_is_kept() -> None:
    knowledge = a_task("inconclusive", "knowledge", (-0.122, -0.22, -0.037), items=82)
    verdict = verdict_on(a_benchmark(knowledge, a_task("kept", "grammar", items=218), pooled=POOLED))
    assert (verdict.verdict, verdict.is_held_by_gate, verdict.is_refused_by_gate) == ("finetune", True, False)
    assert verdict.gate is not None and verdict.gate.doubtful == "knowledge"
    assert verdict.headline.startswith("Tuning earns its place, but the benchmark cannot tell whether more than 0.05")
    assert "Put tuned into service" not in verdict.recommendation
    assert "items of knowledge, measured at -0.122, would tell in 8 of 10 cases" in verdict.recommendation


def test_a_task_that_may_hide_a_loss_of_twice_the_margin_makes_a_challenger_though_it_gained_as_measured() -> None:
    noisy = a_task("inconclusive", "knowledge", (0.01, -0.12, 0.14)).model_copy(update={"may_hide_twice": True})
    gate = judge_forgetting(a_benchmark(a_task("kept", "grammar"), noisy, pooled=POOLED), "kept")
    assert (gate.state, gate.doubtful) == ("inconclusive", "knowledge")


def test_an_inconclusive_pooled_result_makes_a_challenger_and_says_how_many_items_would_tell() -> None:
    benchmark = a_benchmark(a_task("inconclusive", change=(-0.01, -0.06, 0.04)))
    held, taken = verdict_on(benchmark), verdict_on(benchmark, "not_lost")
    # 0.04 from the margin, a half width of 0.05 on 100 items: (0.05 / 0.04)**2, and 2.15 times for 8 of 10 cases.
    assert held.gate is not None and 320 < (held.gate.items_needed or 0) < 350
    assert held.promotes and held.is_held_by_gate
    assert f"about {held.gate.items_needed} items of all tasks would tell" in held.recommendation
    assert not taken.is_held_by_gate and taken.recommendation.startswith("Put tuned into service")


@pytest.mark.parametrize(
    ("standing", "told"),
    [
        ("kept", "kept, no more than 0.05 lost at 95% confidence."),
        ("inconclusive", "inconclusive, more than 0.05 may be lost or not."),
        ("lost", "lost, by more than 0.05 at 95% confidence."),
    ],
)
def test_the_sentence_on_a_benchmark_task_says_what_its_interval_tells_of_the_margin(
    standing: LossStanding, told: str
) -> None:
    task = a_task(standing, "grammar", (-0.085, -0.183, 0.012), items=82)
    sentence = next(one for one in verdict_on(a_benchmark(task)).reasons if one.startswith("benchmark"))
    assert sentence == f"benchmark grammar: 0.800 before, 0.715 after, -0.085 (-0.183 to +0.012) on 82 items: {told}"


def test_the_gate_counts_its_tasks_by_their_standing_and_names_those_that_are_not_kept() -> None:
    tasks = [a_task("kept", "kept"), a_task("inconclusive", "grammar"), a_task("lost", "lost")]
    gate = judge_forgetting(a_benchmark(*tasks, pooled=POOLED).model_copy(update={"all_items": 1000}), "kept")
    counts = "of 3 benchmark tasks, 1 kept, 1 inconclusive (grammar), 1 lost (lost)"
    assert gate.in_words == f"Gate shut: pooled result kept within a margin of 0.05 on 300 of 1,000 items; {counts}"
    alone = judge_forgetting(a_benchmark(tasks[0]), "kept")
    assert alone.in_words == "Gate open: kept within a margin of 0.05 on 100 items"
    assert alone.shown == (tasks[0],), "one task is shown once"


@pytest.mark.parametrize(
    ("standing", "difference", "state"),
    [
        ("kept", 0.01, "open"),
        ("inconclusive", 0.09, "open"),
        ("inconclusive", 0.11, "inconclusive"),
        ("lost", 0.5, "shut"),
    ],
)
def test_neutral_text_is_a_line_of_the_gate_like_a_task(standing: LossStanding, difference: float, state: str) -> None:
    gate = judge_forgetting(a_benchmark(a_task("kept"), neutral=a_loss(standing, difference)), "kept")
    assert gate.state == state
    assert f"neutral text {standing}, {difference:+.3f} nats a token" in gate.in_words
    assert gate.doubtful == ("neutral text" if state == "inconclusive" else None)


def test_a_loss_on_neutral_text_alone_refuses_the_adapter_and_the_headline_says_where_it_was_lost() -> None:
    verdict = verdict_on(a_benchmark(a_task("kept"), neutral=a_loss("lost")))
    assert verdict.is_refused_by_gate
    assert "it lost more than the margin on neutral text at 95% confidence" in verdict.headline
    assert any(reason.startswith("loss on 200 neutral texts: 4.000 before, 4.500 after") for reason in verdict.reasons)


def test_doubt_about_neutral_text_makes_a_challenger_and_names_nats() -> None:
    verdict = verdict_on(a_benchmark(a_task("kept"), neutral=a_loss("inconclusive", 0.11)))
    assert verdict.is_held_by_gate and "whether more than 0.1 nats a token on neutral text was lost" in verdict.headline
    assert "more neutral texts (benchmark.neutral) would tell" in verdict.recommendation
