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
from tasks.intervals import Interval, interval_of, p_above, paired_interval, scores_of
from tasks.statistics.families import holm
from tasks.statistics.tail import Floats

if TYPE_CHECKING:
    from schemas.config import DecisionConfig

COMPLEXITY = ("prompt", "few_shot", "retrieval", "tuned", "tuned_retrieval")
TRAINED = ("tuned", "tuned_retrieval")
Standing = Literal["good", "unclear", "short"]
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


def compare_arms(arms: list[ArmScores], decision: DecisionConfig) -> list[ArmReport]:
    """Return one report per arm, the simplest first."""
    untrained = [one for one in arms if one.artifact.arm not in TRAINED]
    best = max(untrained, key=lambda one: one.scores.mean())
    met = targets_met(
        {one.artifact.arm: p_above(scores_of(one.scores, one.groups), decision.target) for one in arms}, decision
    )
    return [_report(one, best, decision, one.artifact.arm in met) for one in arms]


def targets_met(chances: dict[str, float], decision: DecisionConfig) -> set[str]:
    """Return the arms that meet the target, from each arm's one-sided p-value.

    Any of the untrained arms can withhold a training, so they are one family for Holm's correction; a tuned arm has to
    earn its place as well, which is the harder claim, and stands alone.
    """
    untrained = [name for name in chances if name not in TRAINED]
    corrected = dict(zip(untrained, holm([chances[name] for name in untrained]), strict=True))
    return {name for name, p in (chances | corrected).items() if p <= (1 - decision.confidence) / 2}


def _report(one: ArmScores, best: ArmScores, decision: DecisionConfig, is_met: bool) -> ArmReport:
    interval = interval_of(scores_of(one.scores, one.groups), decision.confidence)
    gain = (
        paired_interval(best.scores, one.scores, confidence=decision.confidence, clusters=one.groups)
        if one.artifact.arm in TRAINED
        else None
    )
    return arm_report(one.artifact, interval, gain, standing(interval, decision.target, is_met))


def arm_report(artifact: ArmArtifact, interval: Interval, gain: Interval | None, standing: Standing) -> ArmReport:
    """Return an arm's report from its intervals."""
    return ArmReport(
        **artifact.model_dump(include=MEASURED),
        groups=interval.groups,
        score=interval.mean,
        low=interval.low,
        high=interval.high,
        standing=standing,
        gain=gain.mean if gain else None,
        gain_low=gain.low if gain else None,
        gain_high=gain.high if gain else None,
    )


def standing(interval: Interval, target: float, is_met: bool | None = None) -> Standing:
    """Return whether the target is met or missed by the whole interval, or the comparison is inconclusive.

    `is_met` says it for an arm that is one of several, after correction for their number.
    """
    if is_met if is_met is not None else interval.is_above(target):
        return "good"
    return "short" if interval.is_below(target) else "unclear"
