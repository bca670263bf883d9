"""The arms of a run: one stage each, so that changing the retrieval arm does not measure the prompt arm again."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.artifacts import (
    AdapterArtifact,
    ArmArtifact,
    DataArtifact,
    EndpointArtifact,
    ModelArtifact,
    TimingArtifact,
)
from schemas.config import RunConfig
from schemas.errors import ConfigRefused, EndpointFailed
from schemas.sections.arms import ArmsConfig
from schemas.sections.task import TaskConfig
from tasks.arms.settings import ArmSettings, arm_settings
from tasks.arms.task import score_arm, score_classifier, score_endpoint, time_arm
from tasks.reuse.planning import current_plan

# Key of an endpoint's stage -> why this process could not have its answers; the next run asks again.
_failed: dict[str, str] = {}


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
        else score_arm(settings_of(arm, settings, data), task, base, data, adapter, seed, subject=arm)
        for arm in arms
    )


def score_endpoints(config: RunConfig, data: DataArtifact) -> tuple[tuple[EndpointArtifact, ...], dict[str, str]]:
    """Measure the endpoints on the held-out rows; one that fails stops nobody, and its error is returned by its name.

    A failure is no answer that could be kept: no record is written of it, and only the plan that follows in the same
    process knows it.
    """
    scored, failed = list[EndpointArtifact](), dict[str, str]()
    for name, endpoint in config.arms.endpoints.items():
        settings = (name, endpoint, config.task, data, config.arms.max_new_tokens, config.arms.limit)
        key = score_endpoint.call(*settings).key if isinstance(data, DataArtifact) else ""
        if current_plan.get() is not None and key in _failed:
            failed[name] = _failed[key]
            continue
        try:
            _failed.pop(key, None)
            scored.append(score_endpoint(*settings, subject=name))
        except EndpointFailed as fault:
            failed[name] = _failed[key] = str(fault)
    return tuple(scored), failed


def time_arms(
    config: RunConfig, base: ModelArtifact, data: DataArtifact, adapter: AdapterArtifact | None, arms: Sequence[str]
) -> tuple[TimingArtifact, ...]:
    """Measure how long answers take; only where the config has prices or a limit that asks for it."""
    if config.costs is None and config.decision.max_seconds is None:
        return ()
    return tuple(
        time_arm(
            settings_of(arm, config.arms, data),
            config.task,
            base,
            data,
            adapter if arm in config.arms.trained else None,
            config.seed,
            subject=arm,
        )
        for arm in arms
    )


def refuse_more_than_rows(arms: ArmsConfig, data: DataArtifact) -> None:
    """Refuse arms that show more examples than there are train rows, before any of them is measured; a plan may not
    know the rows yet.

    Raises:
        ConfigRefused: an arm asks for more.
    """
    if not isinstance(data, DataArtifact):
        return
    shown = {"arms.few_shot.shots": arms.few_shot.shots if "few_shot" in arms.untrained else 0}
    if {"retrieval", "tuned_retrieval"} & {*arms.untrained, *arms.trained}:
        shown["arms.retrieval.top_k"] = 0 if data.documents else arms.retrieval.top_k
        shown["arms.retrieval.shots"] = arms.retrieval.shots or 0
    wrong = [f"{name}: {count} requested" for name, count in shown.items() if count > data.train_rows]
    if wrong:
        raise ConfigRefused(
            f"{', '.join(wrong)}, but there are only {data.train_rows} train rows. Set it to {data.train_rows} or "
            "less, or remove the arm from `arms`."
        )


def settings_of(arm: str, arms: ArmsConfig, data: DataArtifact) -> ArmSettings:
    """Return what an arm reads of the config for these rows; in a plan the rows may not be there yet."""
    if not isinstance(data, DataArtifact):
        return arm_settings(arm, arms, has_documents=False)
    return arm_settings(arm, arms, data.documents > 0, data.language)
