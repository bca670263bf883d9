"""Arms as comparison.py reports them, with numbers that fit their standings."""

from __future__ import annotations

import numpy as np

from schemas.artifacts import ArmArtifact
from schemas.reports import ArmReport
from schemas.sections.decision import DecisionConfig
from tasks.decision.verdict.comparison import GAINS, ArmScores, standing
from tasks.intervals import Interval

DECISION = DecisionConfig(target=0.8, worth=0.05, confidence=0.95)
FACTS = {"valid_rate": 1.0, "stopped_rate": 1.0, "prompt_tokens": 40.0, "output_tokens": 5.0, "seconds_per_row": 0.1}


def an_arm(
    arm: str,
    score: float,
    half: float = 0.05,
    gain: tuple[float, float, float] | None = None,
    decision: DecisionConfig = DECISION,
    groups: int = 80,
) -> ArmReport:
    """Return an arm that is the best of its kind; `gain` is (mean, low, high)."""
    interval = Interval(score, score - half, score + half, groups)
    mean, low, high = gain or (None, None, None)
    lift = Interval(gain[0], gain[1], gain[2], groups) if gain else None
    return ArmReport(
        arm=arm,
        rows=2 * groups,
        groups=groups,
        score=score,
        low=interval.low,
        high=interval.high,
        valid_rate=1,
        stopped_rate=1,
        prompt_tokens=50,
        output_tokens=20,
        standing="good" if decision.target is None else standing(interval, decision.target),
        gain=mean,
        gain_low=low,
        gain_high=high,
        gain_standing=GAINS[standing(lift, decision.worth)] if lift else None,
    )


def behind(arm: ArmReport, rival: str, lag: tuple[float, float, float], worth: float = 0.05) -> ArmReport:
    """Return the arm with the distance to its rival: (mean, low, high)."""
    mean, low, high = lag
    keeps_up = standing(Interval(mean, low, high, arm.groups), -worth)
    numbers = {"rival": rival, "lag": mean, "lag_low": low, "lag_high": high, "keeps_up": keeps_up}
    return arm.model_copy(update=numbers)


def scored(
    name: str,
    scores: list[float],
    valid: list[float] | None = None,
    rows_per_group: int = 1,
    other: list[float] | None = None,
) -> ArmScores:
    """Return an arm's scores row by row, in groups of neighbours; `other` are those of the other reading."""
    groups = tuple(f"g{place // rows_per_group}" for place in range(len(scores)))
    facts = FACTS | {"valid_rate": float(np.mean(valid)) if valid else 1.0}
    artifact = ArmArtifact(arm=name, rows=len(scores), score=float(np.mean(scores)), **facts)
    return ArmScores(
        artifact,
        np.array(scores),
        groups,
        np.array(valid or np.ones(len(scores))),
        None if other is None else np.array(other),
    )
