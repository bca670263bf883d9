"""The arms of a run: one stage each, so that changing the retrieval arm does not measure the prompt arm again."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.artifacts import AdapterArtifact, ArmArtifact, DataArtifact, ModelArtifact
from schemas.sections.arms import ArmsConfig
from schemas.sections.task import TaskConfig
from tasks.arms.settings import ArmSettings, arm_settings
from tasks.arms.task import score_arm


def score_arms(
    task: TaskConfig,
    settings: ArmsConfig,
    seed: int,
    arms: Sequence[str],
    base: ModelArtifact,
    data: DataArtifact,
    adapter: AdapterArtifact | None = None,
) -> tuple[ArmArtifact, ...]:
    """Measure each arm on the same held-out rows, with the same decoder and the same metric."""
    return tuple(
        score_arm(settings_of(arm, settings, data), task, base, data, adapter, seed, subject=arm) for arm in arms
    )


def settings_of(arm: str, arms: ArmsConfig, data: DataArtifact) -> ArmSettings:
    """Return what an arm reads of the config for these rows; in a plan the rows may not be there yet."""
    if not isinstance(data, DataArtifact):
        return arm_settings(arm, arms, has_documents=False)
    return arm_settings(arm, arms, data.documents > 0, data.language)
