"""The arms of a run: one stage each, so that changing the retrieval arm does not measure the prompt arm again."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.artifacts import AdapterArtifact, ArmArtifact, DataArtifact, ModelArtifact, TimingArtifact
from schemas.config import RunConfig
from schemas.sections.arms import ArmsConfig
from schemas.sections.task import TaskConfig
from tasks.arms.settings import arm_settings
from tasks.arms.task import score_arm, score_classifier, time_arm


def score_arms(
    task: TaskConfig,
    settings: ArmsConfig,
    seed: int,
    arms: Sequence[str],
    base: ModelArtifact,
    data: DataArtifact,
    adapter: AdapterArtifact | None = None,
) -> tuple[ArmArtifact, ...]:
    """Measure each arm on the same held-out rows, with the same metric; all but the classifier with one decoder."""
    return tuple(
        score_classifier(task, data, settings.limit, seed)
        if arm == "classifier"
        else score_arm(arm_settings(arm, settings, has_documents(data)), task, base, data, adapter, seed, subject=arm)
        for arm in arms
    )


def time_arms(
    config: RunConfig, base: ModelArtifact, data: DataArtifact, adapter: AdapterArtifact | None, arms: Sequence[str]
) -> tuple[TimingArtifact, ...]:
    """Measure how long answers take; only where the config has prices or a limit that asks for it."""
    if config.costs is None and config.decision.max_seconds is None:
        return ()
    return tuple(
        time_arm(
            arm_settings(arm, config.arms, has_documents(data)),
            config.task,
            base,
            data,
            adapter if arm in config.arms.trained else None,
            config.seed,
            subject=arm,
        )
        for arm in arms
    )


def has_documents(data: DataArtifact) -> bool:
    """Tell whether the task has a corpus; in a plan the rows may not be there yet."""
    return isinstance(data, DataArtifact) and data.documents > 0
