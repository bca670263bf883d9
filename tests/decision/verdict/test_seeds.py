"""Rows and seeds are two sources of error of a recipe's gain."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.artifacts import ArmArtifact
from schemas.findings.seeds import SeedReport
from schemas.sections.training import TrainingConfig
from tasks.decision.verdict.comparison import ArmScores
from tasks.decision.verdict.seeds import compare_seeds

GROUPS, ROWS = 40, 5
NAMES = tuple(f"g{row // ROWS}" for row in range(GROUPS * ROWS))
FACTS = {"rows": 1, "score": 0.5, "valid_rate": 1, "stopped_rate": 1, "prompt_tokens": 1, "output_tokens": 1}


def an_arm(name: str, scores: np.ndarray) -> ArmScores:
    return ArmScores(ArmArtifact(arm=name, seconds_per_row=1, **FACTS), scores, NAMES, np.ones_like(scores))


def drawn(chance: np.random.Generator, gain: float, seeds: int, seed_spread: float) -> SeedReport:
    """Draw an untrained arm and trainings whose true gains scatter around that of the recipe."""
    rates = np.repeat(chance.normal(0, 0.1, GROUPS), ROWS)
    before = (chance.random(rates.size) < 0.5 + rates).astype(float)
    gains = gain + chance.normal(0, seed_spread, seeds)
    after = [(chance.random(rates.size) < np.clip(0.5 + rates + one, 0, 1)).astype(float) for one in gains]
    arms = [an_arm("tuned", scores) for scores in after]
    return compare_seeds(an_arm("prompt", before), arms, worth=gain, confidence=0.95)


@pytest.mark.slow
@pytest.mark.parametrize("seed_spread", [0.0, 0.05, 0.15])
def test_a_recipe_that_is_worth_exactly_its_bound_is_hardly_ever_called_worth_it(seed_spread: float) -> None:
    chance = np.random.default_rng(3)
    found = [drawn(chance, 0.1, 3, seed_spread) for _ in range(600)]
    # nominal 2.5%; 600 runs scatter by 0.6%
    assert sum(one.is_worth_it for one in found) / len(found) <= 0.045
    assert sum(one.gain_low <= 0.1 <= one.gain_high for one in found) / len(found) >= 0.93


def test_seeds_that_scatter_widen_the_interval_and_equal_ones_leave_it_to_the_rows() -> None:
    before = an_arm("prompt", np.tile([0.0, 1.0, 0.0, 1.0, 0.0], GROUPS))
    good, poor = (an_arm("tuned", np.tile(scores, GROUPS)) for scores in ([1.0] * 5, [0.0, 1.0, 0.0, 1.0, 1.0]))
    same = compare_seeds(before, [good, good, good], worth=0.1, confidence=0.95)
    scattered = compare_seeds(before, [good, poor, poor], worth=0.1, confidence=0.95)
    assert same.spread == 0 and same.is_worth_it
    assert scattered.spread > 0.2 and not scattered.is_worth_it
    assert scattered.gain_high - scattered.gain_low > 2 * (same.gain_high - same.gain_low)
    assert "another training may do worse" in scattered.in_words


@pytest.mark.parametrize("other", [{"where": "train/gpu"}, {"validation": 0}])
def test_several_seeds_need_this_machine_and_a_validation_loss(other: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="seeds above 1"):
        TrainingConfig.model_validate({"seeds": 3, **other})
