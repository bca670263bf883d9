"""The arms of a run: one stage each, so that changing the retrieval arm does not measure the prompt arm again."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.artifacts import AdapterArtifact, ArmArtifact, DataArtifact, ModelArtifact, TimingArtifact
from schemas.config import RunConfig
from schemas.sections.arms import ArmsConfig
from schemas.sections.task import TaskConfig
from schemas.sources import BaseSource
from tasks.arms.settings import ArmSettings, arm_settings
from tasks.arms.task import score_arm, score_classifier, time_arm
from tasks.data.task import index_texts


def score_arms(
    task: TaskConfig,
    settings: ArmsConfig,
    seed: int,
    arms: Sequence[str],
    base: ModelArtifact,
    data: DataArtifact,
    adapter: AdapterArtifact | None = None,
    searched: DataArtifact | None = None,
) -> tuple[ArmArtifact, ...]:
    """Measure each arm on the same held-out rows, with the same metric; all but the classifier with one decoder.

    `searched` is what `with_index` returned, for the arms that retrieve.
    """
    return tuple(
        score_classifier(task, data, settings.limit, seed)
        if arm == "classifier"
        else score_arm(
            settings_of(arm, settings, data), task, base, _rows_of(arm, data, searched), adapter, seed, subject=arm
        )
        for arm in arms
    )


def with_index(config: RunConfig, encoder: BaseSource | None, data: DataArtifact) -> DataArtifact:
    """Return the data with the vectors that arms.retrieval.search asks for, or as it is where nothing needs them."""
    retrieves = any(arm.endswith("retrieval") for arm in config.arms.untrained + config.arms.trained)
    if encoder is None or not retrieves:
        return data
    return index_texts(config.arms.retrieval.passage_words, encoder, data)


def _rows_of(arm: str, data: DataArtifact, searched: DataArtifact | None) -> DataArtifact:
    return searched if searched is not None and arm.endswith("retrieval") else data


def time_arms(
    config: RunConfig,
    base: ModelArtifact,
    data: DataArtifact,
    adapter: AdapterArtifact | None,
    arms: Sequence[str],
    searched: DataArtifact | None = None,
) -> tuple[TimingArtifact, ...]:
    """Measure how long answers take; only where the config has prices or a limit that asks for it."""
    if config.costs is None and config.decision.max_seconds is None:
        return ()
    return tuple(
        time_arm(
            settings_of(arm, config.arms, data),
            config.task,
            base,
            _rows_of(arm, data, searched),
            adapter if arm in config.arms.trained else None,
            config.seed,
            subject=arm,
        )
        for arm in arms
    )


def settings_of(arm: str, arms: ArmsConfig, data: DataArtifact) -> ArmSettings:
    """Return what an arm reads of the config for these rows; in a plan the rows may not be there yet."""
    if not isinstance(data, DataArtifact):
        return arm_settings(arm, arms, has_documents=False)
    return arm_settings(arm, arms, data.documents > 0, data.language)
