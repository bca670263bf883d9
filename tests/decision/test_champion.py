"""Who is champion is decided on the rows that the champion did not learn, and luck neither crowns nor keeps one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from schemas.artifacts import ArmArtifact
from schemas.champion import ScoredChampionArtifact
from schemas.reports import Verdict
from schemas.sections.decision import DecisionConfig
from tasks.decision.champion import compare_with_champion, outcome_of
from tasks.decision.verdict.comparison import ArmScores, compare_arms
from tasks.decision.verdict.rules import judge
from tasks.intervals import Interval, paired_interval

DECISION = DecisionConfig(target=0.8, worth=0.05)
FACTS = {"valid_rate": 1.0, "stopped_rate": 1.0, "prompt_tokens": 40.0, "output_tokens": 5.0, "seconds_per_row": 0.1}


@pytest.mark.parametrize(
    ("bounds", "outcome"),
    [
        ((0.01, 0.05, 0.09), "better"),
        ((-0.09, -0.05, -0.01), "worse"),
        ((-0.04, 0.0, 0.04), "not_worse"),
        ((-0.04, 0.02, 0.08), "not_worse"),
        ((-0.04, -0.001, 0.04), "unclear"),  # scores less
        ((-0.06, 0.02, 0.1), "unclear"),  # may lose more than it is worth
    ],
)
def test_the_outcome_follows_from_the_interval_of_the_difference(
    bounds: tuple[float, float, float], outcome: str
) -> None:
    low, mean, high = bounds
    assert outcome_of(Interval(mean, low, high, 50), worth=0.05) == outcome


def test_nothing_trained_has_no_challenger() -> None:
    assert outcome_of(None, 0.05) == "no_challenger"


def an_arm(name: str, scores: list[float]) -> ArmScores:
    facts = ArmArtifact(arm=name, rows=len(scores), score=float(np.mean(scores)), **FACTS)
    return ArmScores(facts, np.array(scores), tuple(f"g{place}" for place in range(len(scores))), np.ones(len(scores)))


def a_champion(folder: Path, scores: list[float]) -> tuple[ScoredChampionArtifact, Path]:
    rows = range(1, len(scores) + 1)
    columns = {"row_id": rows, "group": [f"g{row - 1}" for row in rows], "score": scores, "is_valid": True}
    pl.DataFrame(columns).write_parquet(folder / "answers.parquet")
    return ScoredChampionArtifact(arm="champion", rows=len(scores), score=float(np.mean(scores)), **FACTS), folder


def learned(folder: Path, rows: list[int]) -> Path:
    pl.DataFrame(
        {"row_id": rows, "reason": ["same_request"] * len(rows)}, schema={"row_id": pl.Int64, "reason": pl.String}
    ).write_parquet(folder / "learned.parquet")
    return folder / "learned.parquet"


def a_verdict(arms: list[ArmScores]) -> Verdict:
    return judge(compare_arms(arms, DECISION), None, DECISION, "kept")


def test_rows_that_the_champion_learned_count_for_nobody(tmp_path: Path) -> None:
    """It knows the first 40 rows by heart and little else; without them the challenger is clearly better."""
    arms = [an_arm("prompt", [0.0] * 80), an_arm("tuned", [0.0, 1.0] * 20 + [1.0] * 40)]
    champion = a_champion(tmp_path, [1.0] * 40 + [0.0, 1.0] * 20)
    with_all = compare_with_champion("3", "tuned", champion, arms, learned(tmp_path, []), a_verdict(arms), DECISION)
    assert (with_all.outcome, with_all.rows, with_all.left_out, with_all.difference) == ("unclear", 80, 0, 0.0)
    found = compare_with_champion(
        "3", "tuned", champion, arms, learned(tmp_path, list(range(1, 41))), a_verdict(arms), DECISION
    )
    assert (found.outcome, found.rows, found.left_out, found.score, found.challenger_score) == (
        "better",
        40,
        40,
        0.5,
        1.0,
    )
    assert "on 40 of today's held-out rows, in 40 groups; 40 that it may have learned are left out" in found.reasons[0]


def test_a_champion_that_now_loses_to_an_untrained_arm_and_misses_the_target_is_told_so(tmp_path: Path) -> None:
    arms = [an_arm("prompt", [0.0] * 60), an_arm("few_shot", [1.0] * 55 + [0.0] * 5)]
    found = compare_with_champion(
        "3", "tuned", a_champion(tmp_path, [0.0, 1.0] * 30), arms, learned(tmp_path, []), a_verdict(arms), DECISION
    )
    assert (found.standing, found.untrained, found.outcome, found.challenger) == (
        "short",
        "few_shot",
        "no_challenger",
        None,
    )
    assert found.lead_high < 0
    assert "misses the target of 0.8 at 95% confidence" in found.reasons[0]
    assert "is worse than few_shot, the best untrained arm on these rows, at 95% confidence" in found.reasons[1]


def test_an_unclear_outcome_says_how_many_rows_and_groups_would_be_enough(tmp_path: Path) -> None:
    arms = [an_arm("prompt", [0.0] * 20), an_arm("tuned", [1.0] * 18 + [0.0] * 2)]
    champion = a_champion(tmp_path, [0.0] * 3 + [1.0] * 17)
    found = compare_with_champion("3", "tuned", champion, arms, learned(tmp_path, []), a_verdict(arms), DECISION)
    assert (found.outcome, found.difference) == ("unclear", pytest.approx(0.05))
    assert "which stays" in found.reasons[-1] and "would be enough to decide" in found.reasons[-1]


def promoted(truth: float, rows: int, retrains: int, worth: float = 0.05) -> float:
    """Return the share of retrains that take over when each is truly better by `truth`, a fifth of the rows being
    answered differently.
    """
    chance = np.random.default_rng(0)
    better = (0.2 + truth) / 2
    steps = chance.choice([1.0, -1.0, 0.0], p=[better, 0.2 - better, 0.8], size=(retrains, rows))
    outcomes = [outcome_of(paired_interval(np.zeros(rows), step, confidence=0.95), worth) for step in steps]
    return float(np.mean([outcome in ("better", "not_worse") for outcome in outcomes]))


def test_an_adapter_that_is_worse_by_what_a_gain_is_worth_hardly_ever_takes_over() -> None:
    assert promoted(truth=-0.05, rows=200, retrains=200) <= 0.05  # and twice in a row less than once in 400


@pytest.mark.slow
def test_a_champion_does_not_stay_for_ever_once_there_are_rows_enough() -> None:
    assert promoted(truth=0.0, rows=100, retrains=100) < 0.2 < promoted(truth=0.0, rows=600, retrains=100)
    assert promoted(truth=0.05, rows=600, retrains=50) > 0.9
