"""Is the adapter better, or the recipe? Trainings that differ in their seed only, set against the best untrained arm.

Held-out rows and seeds are two sources of error: SE^2 = SE_rows^2 + s_seeds^2 / seeds, with Satterthwaite's degrees of
freedom (1946, Biometrics Bulletin 2:110). The rows' part is that of the mean over seeds, row by row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

from schemas.findings.seeds import SeedReport
from schemas.reports import Verdict
from tasks.decision.verdict.comparison import ArmScores, untrained_rival
from tasks.intervals import Interval, paired_interval
from tasks.statistics.clusters import FEWEST_GROUPS
from tasks.statistics.power import spread_of_interval

if TYPE_CHECKING:
    from schemas.sections.decision import DecisionConfig


def with_seeds(
    verdict: Verdict, arms: list[ArmScores], siblings: Sequence[ArmScores], decision: DecisionConfig
) -> Verdict:
    """Return the verdict with what trainings with other seeds say of the recipe; the verdict itself stays, as it is
    about the adapter that would be registered.
    """
    judged = next(one for one in arms if one.name == siblings[0].name)
    rival = untrained_rival(arms, decision)
    found = compare_seeds(rival, [judged, *siblings], worth=decision.worth, confidence=decision.confidence)
    return verdict.model_copy(update={"seeds": found, "reasons": (*verdict.reasons, found.in_words)})


def compare_seeds(
    untrained: ArmScores, siblings: Sequence[ArmScores], *, worth: float, confidence: float
) -> SeedReport:
    """Return what several trainings say of their recipe.

    Args:
        untrained: the best untrained arm.
        siblings: the same tuned arm of each training, the one that is judged first; at least two.
        worth: gain that tuning has to be worth.
        confidence: such as 0.95.
    """
    scores = np.array([one.scores for one in siblings])
    interval = paired_interval(untrained.scores, scores.mean(axis=0), confidence=confidence, clusters=untrained.groups)
    means = scores.mean(axis=1)
    spread = float(means.std(ddof=1))
    low, high = _ends(interval, spread, len(siblings), confidence)
    is_worth_it = interval.groups >= FEWEST_GROUPS and low >= worth
    return SeedReport(
        arm=siblings[0].name,
        scores=tuple(means.tolist()),
        spread=spread,
        gain=interval.mean,
        gain_low=low,
        gain_high=high,
        is_worth_it=is_worth_it,
        in_words=_in_words(siblings[0].name, means.tolist(), (interval.mean, low, high), is_worth_it, confidence),
    )


def _ends(rows: Interval, spread: float, seeds: int, confidence: float) -> tuple[float, float]:
    """Return the ends of the recipe's gain; never closer than those of the rows alone."""
    of_seeds = spread**2 / seeds
    ends = []
    for half, sign in ((rows.mean - rows.low, -1.0), (rows.high - rows.mean, 1.0)):
        of_rows = spread_of_interval(half, rows.groups, confidence).per_group ** 2 / rows.groups
        parts = (of_rows**2 / max(rows.groups - 1, 1)) + of_seeds**2 / (seeds - 1)
        freedom = (of_rows + of_seeds) ** 2 / parts if parts else math.inf
        wide = float(stdtrit(min(freedom, 1e9), (1 + confidence) / 2)) * math.sqrt(of_rows + of_seeds)
        ends.append(rows.mean + sign * max(half, wide))
    return max(ends[0], -1.0), min(ends[1], 1.0)


def _in_words(
    arm: str, scores: Sequence[float], gain: tuple[float, float, float], is_worth_it: bool, confidence: float
) -> str:
    told = ", ".join(f"{score:.3f}" for score in scores)
    says = "the recipe is worth it, not only this adapter"
    if not is_worth_it:
        says = "that the recipe is worth it is not shown; another training may do worse than this adapter"
    return (
        f"{arm} of {len(scores)} seeds: {told}; the recipe gains {gain[0]:+.3f} ({gain[1]:+.3f} to {gain[2]:+.3f} at "
        f"{confidence:.0%} confidence over rows and seeds): {says}."
    )
