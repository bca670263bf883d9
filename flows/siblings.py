"""Several trainings of one recipe: fitted with different seeds, one of them chosen without the held-out rows."""

from __future__ import annotations

from collections.abc import Sequence

from flows.arms import score_arms
from schemas.artifacts import (
    AdapterArtifact,
    ArmArtifact,
    DataArtifact,
    ModelArtifact,
    RenderingArtifact,
    ReplayTextsArtifact,
)
from schemas.config import RunConfig
from tasks.training.task import train_adapter


def train_siblings(
    config: RunConfig,
    rendering: RenderingArtifact,
    base: ModelArtifact,
    data: DataArtifact,
    replay: ReplayTextsArtifact | None,
) -> tuple[AdapterArtifact, ...]:
    """Fit `training.seeds` adapters; return the one judged first: the median by validation loss, no lucky one."""
    seeds = range(config.seed, config.seed + config.training.seeds)
    fits = [
        train_adapter(
            config.training, rendering, base, data, seed, replay, subject="" if seed == config.seed else f"seed {seed}"
        )
        for seed in seeds
    ]
    if len(fits) == 1 or not all(isinstance(fit, AdapterArtifact) for fit in fits):
        return tuple(fits)
    middle = sorted(range(len(fits)), key=lambda place: fits[place].validation_loss or 0.0)[(len(fits) - 1) // 2]
    return (fits[middle], *(fit for place, fit in enumerate(fits) if place != middle))


def score_siblings(
    config: RunConfig,
    base: ModelArtifact,
    data: DataArtifact,
    others: Sequence[AdapterArtifact],
    searched: DataArtifact | None = None,
) -> tuple[ArmArtifact, ...]:
    """Measure the first tuned arm with each of the other adapters."""
    arm = config.arms.trained[:1]
    asked = config.task, config.arms, config.seed, arm, base, data
    return tuple(scored for other in others for scored in score_arms(*asked, other, searched))
