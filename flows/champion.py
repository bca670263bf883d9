"""The registry's champion in a run: looked up, measured on today's rows, and compared with today's arms."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass

from pydantic import ValidationError

from flows.arms import settings_of
from schemas.artifacts import AdapterArtifact, ArmArtifact, DataArtifact, ModelArtifact, SlicesArtifact, VerdictArtifact
from schemas.champion import Champion, ComparisonArtifact, RegistryLookup, SplitRule
from schemas.config import RunConfig
from schemas.errors import RegistryUnreachable
from tasks.arms.settings import ArmSettings
from tasks.arms.task import score_champion
from tasks.base.task import fetch_base
from tasks.data.task import find_learned_rows
from tasks.decision.task import compare_champion
from tasks.registry.champion import find_champion, listed_files, unanswered
from tasks.registry.connection import default_uri
from tasks.registry.task import fetch_champion
from tasks.reuse.current_store import current_store
from tasks.reuse.planning import Pending


@dataclass(frozen=True)
class Compared:
    """The comparison of today's arms with the champion, or the reason why there is none."""

    comparison: ComparisonArtifact | None = None
    why_not: str = ""


def look_for_champion(config: RunConfig) -> RegistryLookup | None:
    """Look the champion up in the registry; return None where no arm is trained, since nothing is compared then."""
    if not config.arms.trained:
        return None
    return find_champion(_destination(), config.registry.model, current_store())


def no_answer() -> RegistryLookup:
    """Return the look-up that a run uses where MLflow does not answer."""
    return unanswered(_destination() or default_uri(current_store()))


def version_settings(config: RunConfig, data: DataArtifact) -> dict[str, str]:
    """Return what a later run needs to measure a version of this run: each tuned arm's settings, and the split."""
    settings = {f"arm.{arm}": settings_of(arm, config.arms, data).model_dump_json() for arm in config.arms.trained}
    if config.data.has_own_sides:  # the rows said their side, and no rule can tell it again
        return settings
    split = SplitRule(seed=config.seed, held_out=config.data.held_out, group=config.data.group)
    return settings | {"split": split.model_dump_json()}


def compare_with_champion(
    config: RunConfig,
    look: RegistryLookup,
    base: ModelArtifact,
    data: DataArtifact,
    verdict: VerdictArtifact,
    arms: tuple[ArmArtifact, ...],
    adapter: AdapterArtifact | None,
    slices: SlicesArtifact | None = None,
) -> Compared:
    """Measure the champion on today's held-out rows and compare, or say why that is impossible."""
    champion = rival(look, adapter)
    if champion is None:
        return Compared(why_not=look.why_none)
    who = f"version {champion.version} of {champion.model}"
    arm, own_base = _arm_settings(champion, config), _own_base(champion, base)
    if not champion.adapter_digest or arm is None:
        return Compared(
            why_not=f"{who} does not record how it answers, as it was not registered by this version of Tuneworthy"
        )
    if own_base is None:
        return Compared(
            why_not=f"the base of {who}, {champion.base_name} {champion.base_digest[:12]}, is not in the store"
        )
    try:
        served = fetch_champion(champion, _files_in_mlflow(champion), _destination())
    except RegistryUnreachable:
        return Compared(why_not=no_answer().why_none)
    store = current_store()
    rows = champion.data_digest if champion.data_digest and store.is_whole(champion.data_digest) else None
    learned = find_learned_rows(
        data, config.arms.limit, rows, champion.split, config.data.group, config.data.near_duplicate
    )
    problem = served.problem or learned.problem
    if not problem:
        scored = score_champion(arm, config.task, own_base, data, served, config.seed)
        problem = scored.problem
    if problem:
        return Compared(why_not=f"{who} was not measured: {first_line(problem)}")
    how = config.decision, champion.version, arm.name
    return Compared(compare_champion(*how, scored, learned, verdict, arms, slices))


def rival(look: RegistryLookup, adapter: AdapterArtifact | None) -> Champion | None:
    """Return the version that today's adapter is compared with: the champion, or, where the adapter is the champion
    itself, the version that it took over from.

    So a run that is repeated after its adapter became champion makes the same comparison as before, and finds it in the
    store.
    """
    if (
        look.champion is None
        or adapter is None
        or isinstance(adapter, Pending)
        or look.champion.adapter_digest != adapter.digest
    ):
        return look.champion
    return look.before


def first_line(problem: str) -> str:
    """Return a problem for the report and MLflow's tags: only its first line, as the rest may be a row's text."""
    return problem.partition("\n")[0].rstrip(".: ")


def _destination() -> str:
    return os.environ.get("MLFLOW_TRACKING_URI", "")


def _arm_settings(champion: Champion, config: RunConfig) -> ArmSettings | None:
    """Return how the champion asks, on as many rows as today's arms."""
    try:
        return ArmSettings.model_validate({**json.loads(champion.arm_settings), "limit": config.arms.limit})
    except (ValueError, ValidationError):
        return None


def _own_base(champion: Champion, base: ModelArtifact) -> ModelArtifact | None:
    """Return the base of the champion: today's, or another one that the store still has."""
    if isinstance(base, Pending) or champion.base_digest == base.digest:
        return base
    store = current_store()
    for record in store.records(fetch_base.name):
        found = record["artifact"]
        is_readable = found.keys() == ModelArtifact.model_fields.keys()  # another release may have other fields
        if found["digest"] == champion.base_digest and is_readable and store.is_whole(champion.base_digest):
            return ModelArtifact.model_validate(found)
    return None


def _files_in_mlflow(champion: Champion) -> tuple[str, ...] | None:
    """Return None while the store has the adapter and the rows that it retrieves from, else MLflow's files of it."""
    store = current_store()
    needed = [champion.adapter_digest, *([champion.data_digest] if champion.carried_digest else [])]
    return None if all(store.is_whole(digest) for digest in needed) else listed_files(_destination(), champion, store)
