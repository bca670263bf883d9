"""The gate says of each benchmark task what its interval tells."""

from __future__ import annotations

import pytest

from schemas.artifacts import BenchmarkArtifact, BenchmarkTask
from tasks.decision.verdict.gate import judge_forgetting
from tasks.decision.verdict.rules import judge
from tests.decision.measured_arms import DECISION, an_arm


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
