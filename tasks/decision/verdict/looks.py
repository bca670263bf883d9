"""What several looks at the same held-out rows do to a verdict: the best of equal arms looks better than it is."""

from __future__ import annotations

import math
from collections.abc import Mapping

from scipy.special import ndtri

from schemas.reports import ArmReport, Verdict
from tasks.decision.verdict.comparison import TRAINED
from tasks.statistics.power import spread_of_interval


def with_looks(verdict: Verdict, looks: Mapping[str, int]) -> Verdict:
    """Return the verdict with each arm's number of looks, and a caveat where the arm it names had several."""
    arms = tuple(arm.model_copy(update={"looks": looks.get(arm.arm, 1)}) for arm in verdict.arms)
    named = next(arm for arm in arms if arm.arm == verdict.arm)
    told = (_sentence(named, verdict.confidence),) if named.looks > 1 else ()
    return verdict.model_copy(update={"arms": arms, "caveats": (*verdict.caveats, *told)})


def _sentence(arm: ArmReport, confidence: float) -> str:
    tried = f"{_ordinal(arm.looks)} adapter" if arm.arm in TRAINED else f"{_ordinal(arm.looks)} way to ask"
    return (
        f"{arm.arm} is the {tried} measured on these held-out rows; the best of {arm.looks} equal ones looks better by "
        f"about {luck_of_the_best(arm, confidence):.3f}. Other held-out rows (another seed) would tell."
    )


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def luck_of_the_best(arm: ArmReport, confidence: float) -> float:
    """Return by how much the best of so many equal arms is expected to score above its true mean.

    The part of an arm's error that is its own is that of a difference between two arms on the same rows, divided by
    the root of 2; the largest of n normals is by Blom's approximation (1958).
    """
    ends = (arm.gain_low, arm.gain_high) if arm.gain_low is not None else (arm.lag_low, arm.lag_high)
    low, high = (arm.low, arm.high) if ends[0] is None or ends[1] is None else (ends[0], ends[1])
    error = spread_of_interval((high - low) / 2, arm.groups, confidence).per_group / math.sqrt(arm.groups)
    return float(ndtri((arm.looks - 0.375) / (arm.looks + 0.25))) * error / math.sqrt(2)
