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
from schemas.sections.arms import GRAMMAR, ArmsConfig
from schemas.sections.task import TaskConfig
from schemas.sources import BaseSource
from tasks.arms.settings import ArmSettings, arm_settings
from tasks.arms.task import score_arm, score_classifier, score_endpoint, time_arm
from tasks.data.task import index_texts
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
    searched: DataArtifact | None = None,
) -> tuple[ArmArtifact, ...]:
    """Measure each arm on the same held-out rows, with the same metric; all but the classifier with one decoder.

    `searched` is what `with_index` returned, for the arms that retrieve.
    """

    def measured(arm: str) -> ArmArtifact:
        if arm == "classifier":
            return score_classifier(task, data, settings.limit, seed)
        asks, rows = settings_of(arm, settings, data), _rows_of(arm, data, searched)
        return score_arm(asks, task, base, rows, adapter, seed, subject=arm)

    return tuple(map(measured, arms))


def with_index(config: RunConfig, encoder: BaseSource | None, data: DataArtifact) -> DataArtifact:
    """Return the data with the vectors that arms.retrieval.search asks for, or as it is where nothing needs them."""
    retrieves = any("retrieval" in arm for arm in config.arms.untrained + config.arms.trained)
    if encoder is None or not retrieves:
        return data
    return index_texts(config.arms.retrieval.passage_words, encoder, data)


def _rows_of(arm: str, data: DataArtifact, searched: DataArtifact | None) -> DataArtifact:
    return searched if searched is not None and "retrieval" in arm else data


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
    timed = []
    for arm in arms:
        asks, rows = settings_of(arm, config.arms, data), _rows_of(arm, data, searched)
        tuned = adapter if arm in config.arms.trained else None
        timed.append(time_arm(asks, config.task, base, rows, tuned, config.seed, subject=arm))
    return tuple(timed)


def refuse_more_than_rows(arms: ArmsConfig, data: DataArtifact) -> None:
    """Refuse arms that show more examples than there are train rows, before any of them is measured; a plan may not
    know the rows yet.

    Raises:
        ConfigRefused: an arm asks for more.
    """
    if not isinstance(data, DataArtifact):
        return
    measured = {arm.removesuffix(GRAMMAR) for arm in (*arms.untrained, *arms.trained)}
    shown = {"arms.few_shot.shots": arms.few_shot.shots if "few_shot" in measured else 0}
    if {"retrieval", "tuned_retrieval"} & measured:
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
