"""Arms compared: intervals against the target, and the tuned arms' paired gain over the best untrained arm."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from schemas.artifacts import ArmArtifact
from schemas.errors import TuneworthyError
from schemas.reports import ArmReport
from tasks.intervals import Floats, Interval, mean_interval, paired_interval

if TYPE_CHECKING:
    from schemas.config import DecisionConfig

COMPLEXITY = ("prompt", "few_shot", "retrieval", "tuned", "tuned_retrieval")
TRAINED = ("tuned", "tuned_retrieval")
MEASURED = {"arm", "rows", "valid_rate", "stopped_rate", "prompt_tokens", "output_tokens"}


@dataclass(frozen=True)
class ArmScores:
    """One arm's scores, row by row, in the order that all arms share."""

    artifact: ArmArtifact
    scores: Floats
    groups: tuple[str, ...]


def read_scores(arms: list[tuple[ArmArtifact, Path]]) -> list[ArmScores]:
    """Read every arm's scores, the simplest arm first.

    Raises:
        TuneworthyError: the arms were not measured on the same rows.
    """
    frames = [(facts, pl.read_parquet(folder / "answers.parquet").sort("row_id")) for facts, folder in arms]
    rows = {tuple(frame["row_id"]) for _, frame in frames}
    if len(rows) != 1:
        raise TuneworthyError(
            f"The arms {', '.join(facts.arm for facts, _ in frames)} were not measured on the same rows, so they "
            "cannot be compared. Run again."
        )
    measured = [
        ArmScores(facts, frame["score"].to_numpy().astype(np.float64), tuple(frame["group"])) for facts, frame in frames
    ]
    return sorted(measured, key=lambda one: COMPLEXITY.index(one.artifact.arm))


def compare_arms(arms: list[ArmScores], decision: DecisionConfig, seed: int) -> list[ArmReport]:
    """Return one report per arm, the simplest first."""
    untrained = [one for one in arms if one.artifact.arm not in TRAINED]
    best = max(untrained, key=lambda one: one.scores.mean())
    return [_report(one, best, decision, seed) for one in arms]


def _report(one: ArmScores, best: ArmScores, decision: DecisionConfig, seed: int) -> ArmReport:
    interval = mean_interval(one.scores, confidence=decision.confidence, seed=seed, clusters=one.groups)
    gain = (
        paired_interval(best.scores, one.scores, confidence=decision.confidence, seed=seed, clusters=one.groups)
        if one.artifact.arm in TRAINED
        else None
    )
    return ArmReport(
        **one.artifact.model_dump(include=MEASURED),
        score=interval.mean,
        low=interval.low,
        high=interval.high,
        standing=standing(interval, decision.target),
        gain=gain.mean if gain else None,
        gain_low=gain.low if gain else None,
        gain_high=gain.high if gain else None,
    )


def standing(interval: Interval, target: float) -> Literal["good", "unclear", "short"]:
    """Return whether the target is met or missed by the whole interval, or the comparison is inconclusive."""
    if interval.low >= target:
        return "good"
    return "short" if interval.high < target else "unclear"
