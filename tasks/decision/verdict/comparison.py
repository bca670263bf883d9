"""Arms compared: against the target, the answer contract, the best untrained arm, and the best arm of their kind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.artifacts import ArmArtifact
from schemas.errors import TuneworthyError
from schemas.reports import ArmReport, GainStanding, Standing
from schemas.sections.arms import TrainedArm, UntrainedArm
from tasks.intervals import Interval, differences_of, interval_of, mean_interval, p_above, scores_of
from tasks.statistics.clusters import Clusters
from tasks.statistics.families import Changes, changes_of, holm
from tasks.statistics.tail import Floats

if TYPE_CHECKING:
    from schemas.sections.decision import DecisionConfig

K = TypeVar("K")
Kept = NDArray[np.bool_]

TRAINED = get_args(TrainedArm)
COMPLEXITY = (*get_args(UntrainedArm), *TRAINED)  # with a grammar an arm is a little more complex
MEASURED = {"arm", "rows", "valid_rate", "stopped_rate", "prompt_tokens", "output_tokens", "retrieved"}
MEASURED |= {"reading", "strict_score", "lenient_score", "also"}
GAINS: dict[Standing, GainStanding] = {"good": "worth_it", "unclear": "unclear", "short": "not_worth_it"}


@dataclass(frozen=True)
class ArmScores:
    """One arm's scores, row by row, in the order that all arms share, and which answers met the contract (0 or 1);
    `other` are the scores in the reading that does not decide.
    """

    artifact: ArmArtifact
    scores: Floats
    groups: tuple[str, ...]
    valid: Floats
    other: Floats | None = None

    @property
    def name(self) -> str:
        """The arm's name."""
        return self.artifact.arm


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
    return sorted((scores_in(*one) for one in frames), key=lambda one: COMPLEXITY.index(one.name))


def rows_in(folder: Path) -> pl.Series:
    """Return the numbers of the rows that an arm was measured on, in the order of its scores."""
    return pl.read_parquet(folder / "answers.parquet", columns=["row_id"])["row_id"].sort()


def scores_in(facts: ArmArtifact, answers: pl.DataFrame) -> ArmScores:
    """Return one arm's scores from its answers."""
    scores, valid = (answers[name].to_numpy().astype(np.float64) for name in ("score", "is_valid"))
    column = "strict_score" if facts.reading == "lenient" else "lenient_score"
    other = answers[column].to_numpy() if column in answers.columns else None
    return ArmScores(facts, scores, tuple(answers["group"]), valid, other)


def only_rows(one: ArmScores, kept: Kept) -> ArmScores:
    """Return an arm's scores on some of the rows.

    Args:
        one: the arm on all rows.
        kept: for each of its rows whether it stays, shape (rows,).
    """
    groups = tuple(group for group, is_kept in zip(one.groups, kept, strict=True) if is_kept)
    return ArmScores(one.artifact, one.scores[kept], groups, one.valid[kept])


def compare_arms(arms: list[ArmScores], decision: DecisionConfig) -> list[ArmReport]:
    """Return one report per arm, the simplest first."""
    broken = _broken(arms, decision)
    rival = untrained_rival(arms, decision)
    gains = _gains(arms, rival, decision)
    lags = _lags(arms, broken, {name for name, (_, worth) in gains.items() if worth == "not_worth_it"}, decision)
    samples = {one.name: scores_of(one.scores, one.groups) for one in arms}
    scores = {name: interval_of(sample, decision.confidence) for name, sample in samples.items()}
    met = targets_met({name: p_above(sample, decision.target or 0.0) for name, sample in samples.items()}, decision)
    others, reports = _other_gains(arms, decision), []
    for one in arms:
        lag, name = lags[one.name], one.name
        against = lag.keeps_up if decision.target is None else standing(scores[name], decision.target, name in met)
        report = arm_report(one.artifact, scores[name], against, gains.get(name))
        facts: dict[str, object] = {"breaks_contract": name in broken, "rival": lag.rival, "keeps_up": lag.keeps_up}
        facts |= {"answers": one.artifact.digest} | (_flips(rival, one) if name in gains else {})
        facts |= ends("lag", lag.interval) | ends("other_gain", others.get(name))
        reports.append(report.model_copy(update=facts))
    return reports


def _broken(arms: list[ArmScores], decision: DecisionConfig) -> set[str]:
    return {one.name for one in arms if breaks_contract(one, decision)}


def breaks_contract(one: ArmScores, decision: DecisionConfig) -> bool:
    """Tell whether the share of answers that meet the contract is below what was asked for, at confidence."""
    if decision.valid is None:
        return False
    return mean_interval(one.valid, confidence=decision.confidence, clusters=one.groups).is_below(decision.valid)


def best_of(arms: Iterable[ArmScores]) -> ArmScores:
    """Return the arm with the highest mean score; the simplest among equals."""
    return max(arms, key=lambda one: one.scores.mean())


def untrained_rival(arms: list[ArmScores], decision: DecisionConfig) -> ArmScores:
    """Return what a tuned arm has to gain over: the best untrained arm whose answers a program can use.

    Where no untrained arm's can be, those that break the contract count as wrong.
    """
    broken, untrained = _broken(arms, decision), [one for one in arms if one.name not in TRAINED]
    usable = [one for one in untrained if one.name not in broken]
    best = best_of(usable or untrained)
    return best if usable else replace(best, scores=best.scores * best.valid)


def _flips(before: ArmScores, after: ArmScores) -> dict[str, Any]:
    flips: Changes = changes_of(before.scores, after.scores, after.groups)
    return {"gain_over": before.name, "won": flips.helped, "lost": flips.hurt, "by_chance": flips.p}


def _gains(
    arms: list[ArmScores], rival: ArmScores, decision: DecisionConfig
) -> dict[str, tuple[Interval, GainStanding]]:
    """Return each tuned arm's gain over the best untrained arm."""
    samples = {one.name: differences_of(rival.scores, one.scores, one.groups) for one in arms if one.name in TRAINED}
    found = against_bound(samples, decision.worth, decision.confidence)
    return {name: (interval, GAINS[stands]) for name, (interval, stands) in found.items()}


def _other_gains(arms: list[ArmScores], decision: DecisionConfig) -> dict[str, Interval]:
    """Return each tuned arm's gain over the best untrained arm in the reading of answers that does not decide."""
    read = [replace(one, scores=one.other) for one in arms if one.other is not None]
    if len(read) < len(arms):
        return {}
    rival = best_of(one for one in read if one.name not in TRAINED)
    return {name: gain for name, (gain, _) in _gains(read, rival, decision).items()}


@dataclass(frozen=True)
class _Lag:
    """How far an arm is from its rival; nothing where it is the only one."""

    rival: str | None = None
    interval: Interval | None = None
    keeps_up: Standing = "good"


def _lags(arms: list[ArmScores], broken: set[str], not_worth: set[str], decision: DecisionConfig) -> dict[str, _Lag]:
    """Return every arm against its rival (schemas.reports.ArmReport).

    An arm keeps up if it is shown to be not worse, by `worth`, than each arm that it could be used in place of. One of
    the arms of a kind is truly the best, so one claim fewer than there are arms can be false, and so many are corrected
    for.
    """
    lags: dict[str, _Lag] = {}
    for kind in (False, True):
        own = [one for one in arms if (one.name in TRAINED) == kind]
        more = [] if kind else [one for one in arms if one.name in not_worth]
        pool = [one for one in [*own, *more] if one.name not in broken] or own
        lags |= {one.name: _lag(one, pool, max(1, len(own) - 1), decision) for one in own}
    return lags


def _lag(one: ArmScores, pool: list[ArmScores], claims: int, decision: DecisionConfig) -> _Lag:
    samples = {other.name: differences_of(other.scores, one.scores, one.groups) for other in pool if other is not one}
    if not samples:
        return _Lag()
    chances = {name: p_above(sample, -decision.worth) for name, sample in samples.items()}
    lags = {name: interval_of(sample, decision.confidence) for name, sample in samples.items()}
    rival = max(samples, key=lambda name: (chances[name], -lags[name].mean))
    is_claimed = claims * chances[rival] <= (1 - decision.confidence) / 2
    is_behind = any(lag.is_below(-decision.worth) for lag in lags.values())
    return _Lag(rival, lags[rival], "good" if is_claimed else "short" if is_behind else "unclear")


def against_bound(samples: Mapping[K, Clusters], bound: float, confidence: float) -> dict[K, tuple[Interval, Standing]]:
    """Return each sample's interval, and whether it is at least the bound (all of them one family for Holm's
    correction), below it, or neither at this confidence.
    """
    claimed = claimed_of({name: p_above(sample, bound) for name, sample in samples.items()}, confidence)
    intervals = {name: interval_of(sample, confidence) for name, sample in samples.items()}
    return {name: (found, standing(found, bound, name in claimed)) for name, found in intervals.items()}


def claimed_of(chances: Mapping[K, float], confidence: float) -> set[K]:
    """Return the names of a family whose one-sided p-values hold after Holm's correction."""
    corrected = holm(list(chances.values()))
    return {name for name, p in zip(chances, corrected, strict=True) if p <= (1 - confidence) / 2}


def targets_met(chances: Mapping[str, float], decision: DecisionConfig) -> set[str]:
    """Return the arms that meet the target, from each arm's one-sided p-value.

    Any of the untrained arms can withhold a training, so they are one family for Holm's correction; a tuned arm's gain
    has to be worth it as well, which is the harder claim, and stands alone.
    """
    untrained = {name: p for name, p in chances.items() if name not in TRAINED}
    alone = [claimed_of({name: p}, decision.confidence) for name, p in chances.items() if name in TRAINED]
    return claimed_of(untrained, decision.confidence).union(*alone)


def arm_report(
    artifact: ArmArtifact, score: Interval, stands: Standing, gain: tuple[Interval, GainStanding] | None = None
) -> ArmReport:
    """Return an arm's report from its score and, for a tuned arm, its gain."""
    return ArmReport(
        **artifact.model_dump(include=MEASURED),
        groups=score.groups,
        score=score.mean,
        low=score.low,
        high=score.high,
        standing=stands,
        gain_standing=gain[1] if gain else None,
        **ends("gain", gain[0] if gain else None),
    )


def ends(name: str, found: Interval | None) -> dict[str, float | None]:
    """Return a mean and its interval's ends as fields: `name`, `name`_low and `name`_high."""
    mean, low, high = (found.mean, found.low, found.high) if found else (None, None, None)
    return {name: mean, f"{name}_low": low, f"{name}_high": high}


def standing(interval: Interval, bound: float, is_met: bool | None = None) -> Standing:
    """Return whether a bound is met or missed by the whole interval, or the comparison is inconclusive.

    `is_met` says it for an arm that is one of several, after correction for their number.
    """
    if is_met if is_met is not None else interval.is_above(bound):
        return "good"
    return "short" if interval.is_below(bound) else "unclear"
