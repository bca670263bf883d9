"""Simulated held-out sets: scores of several arms on the same rows, in groups that rise and fall together.

Every group has a rate of its own, from a beta distribution with the mean and the correlation inside groups asked for;
an arm shares the group's rate with the first arm in six of ten groups. A row's score is right or wrong, the share of
five right fields, or an F1-like value between 0 and 1 that is mostly near its ends. What is drawn is given to the
product's claims, many sets at once.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from tasks.intervals import p_above
from tasks.statistics.clusters import Clusters, chance_not_above, gathered, low_end

Floats = NDArray[np.float64]
SHARED = 0.6
USUAL_ROWS = 6
CONFIDENCE = 0.95
LEVEL = (1 - CONFIDENCE) / 2
ARMS = 6
BLOCK = 4_000_000  # scores held at once
SAME_SIZES = 250  # runs that share one draw of the sizes of groups


@dataclass(frozen=True)
class Setting:
    """One kind of held-out set: how rows are scored, how many groups, how unequal, how alike inside."""

    score: str
    groups: int
    shape: str
    correlation: float

    def sizes(self, chance: np.random.Generator | None) -> NDArray[np.int_]:
        """Return each group's rows: equal, or lognormal with a sigma of 1, drawn or (without `chance`) as quantiles."""
        if self.shape == "equal":
            return np.full(self.groups, USUAL_ROWS)
        places = (np.arange(self.groups) + 0.5) / self.groups
        normal = ndtri(places) if chance is None else chance.normal(0, 1, self.groups)
        return np.maximum(1, np.round(5 * np.exp(normal))).astype(int)


def draw_arms(
    setting: Setting, sizes: NDArray[np.int_], means: list[float], runs: int, chance: np.random.Generator
) -> list[Floats]:
    """Return one array (runs, rows) an arm; arms of the same mean share most of their groups' rates."""
    shared: dict[float, Floats] = {}
    arms = []
    for mean in means:
        rates = _rates(setting, mean, runs, chance)
        common = shared.setdefault(mean, rates)
        rates = np.where(chance.random(rates.shape) < SHARED, common, rates)
        arms.append(_rows(setting.score, np.repeat(rates, sizes, axis=1), chance))
    return arms


def repaired(
    setting: Setting, sizes: NDArray[np.int_], scores: Floats, gain: float, mean: float, chance: np.random.Generator
) -> Floats:
    """Return scores with a mean that is higher by `gain`: in some rows, groups alike, all that was missing is there.

    A negative gain breaks rows instead.
    """
    share = gain / (1 - mean) if gain > 0 else -gain / mean
    rates = _rates(setting, share, len(scores), chance)
    is_changed = chance.random(scores.shape) < np.repeat(rates, sizes, axis=1)
    return np.where(is_changed, 1.0 if gain > 0 else 0.0, scores)


def _rates(setting: Setting, mean: float, runs: int, chance: np.random.Generator) -> Floats:
    weight = (1 - setting.correlation) / setting.correlation
    return chance.beta(mean * weight, (1 - mean) * weight, (runs, setting.groups))


def _rows(score: str, rates: Floats, chance: np.random.Generator) -> Floats:
    if score == "0/1":
        return (chance.random(rates.shape) < rates).astype(np.float64)
    if score == "five fields":
        return chance.binomial(5, rates) / 5.0
    inside = np.clip(rates, 1e-6, 1 - 1e-6)
    return chance.beta(2 * inside, 2 * (1 - inside))


def sample_of(scores: Floats, names: np.ndarray[Any, Any], floor: float = 0.0) -> Clusters:
    """Return scores, or differences of scores, as the product's sample."""
    return gathered(scores, names, floor=floor, ceiling=1.0)


def claimed(sample: Clusters, bound: float, level: float, family: int = 1) -> Floats:
    """Return the p-values of "above the bound" as the product reads them (`intervals.p_above`), one a run.

    Exact only where that can make a difference: a p-value below level / family is a claim whatever the others are, one
    above the level is none. Bounds nearer the mean are tried where they can make a claim: of 30,000 sets they did in
    86, and none of these had a p-value of more than 8 times the level.
    """
    chances = chance_not_above(sample, bound)
    near = np.flatnonzero((chances > level / family) & (chances <= 20 * level) & (sample.means > bound))
    held = near[low_end(sample.only(near), level) >= bound]
    chances[held] = [p_above(sample.only(np.array([run])), bound) for run in held] if family > 1 else level
    return chances


def in_blocks(setting: Setting, runs: int, seed: int) -> list[tuple[int, np.random.Generator]]:
    """Return the runs in parts that fit into memory, each with its own generator."""
    most = min(SAME_SIZES, max(1, BLOCK // (setting.groups * 12 * ARMS)))
    parts = [min(most, runs - start) for start in range(0, runs, most)]
    text = f"{setting}{seed}".encode()
    return [(part, np.random.default_rng([zlib.crc32(text), place])) for place, part in enumerate(parts)]
