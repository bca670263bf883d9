"""Rolling the champion back to the previous one, or to any version, after checking that it can still answer."""

from __future__ import annotations

import getpass
import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.champion import Champion
from schemas.errors import ArtifactBroken, ConfigRefused, ModelMissing
from tasks.inference.prompts.golden import verify_golden
from tasks.registry.champion import is_missing_database, read_champion
from tasks.registry.connection import default_uri, open_registry
from tasks.registry.fetching import download_served
from tasks.registry.mlflow_registry import CHAMPION, PREVIOUS, retag, version_of
from tasks.registry.placing import ROLLED_BACK, make_champion, moving_aliases, now, write_audit
from tasks.reuse.store import ArtifactStore

if TYPE_CHECKING:
    from tasks.registry.connection import Registry

VERSIONS_NAMED = 5


@dataclass(frozen=True)
class RolledBack:
    """The version that is champion now, and the one before ("": none); equal where nothing had to be done."""

    model: str
    version: str
    before: str


def roll_back(destination: str, model: str, to: str | None, store: ArtifactStore) -> RolledBack:
    """Make version `to`, or without it the previous champion, champion; record who did it, when, and what it replaced.

    Raises:
        ConfigRefused: there is no such version, or no previous one.
        ModelMissing: its base is not in the store.
        ArtifactBroken: MLflow does not have its files as they were registered, or its base has another chat template.
        TuneworthyError: the golden rows are rendered differently from when they were learned.
        RegistryUnreachable: MLflow does not answer.
    """
    if is_missing_database(destination or default_uri(store)):
        nothing = f"registry.model: nothing is registered as {model} in {store.address} yet"
        raise ConfigRefused(f"{nothing}. Run `tuneworthy run` first, or set MLFLOW_TRACKING_URI.")
    with (
        open_registry(destination, store, "The champion was not changed.") as registry,
        moving_aliases(store, destination, model, lambda owner: None),
    ):
        champion, wanted = version_of(registry, model, CHAMPION), _wanted(registry, model, to)
        if wanted == champion:
            return RolledBack(model, wanted, wanted)
        check_answerable(read_champion(registry, model, wanted), store)
        why = f"rolled back from version {champion}" if champion else "there was no champion"
        row = {"placed_at": now(), "placed_as": CHAMPION, "placed_because": why, "placed_by": _who()}
        if champion:  # before the alias moves, so that a run in between does not move it back
            registry.client.set_model_version_tag(model, champion, ROLLED_BACK, now())
        make_champion(registry, model, wanted, champion)
        retag(registry, model, wanted, row | {ROLLED_BACK: ""})
        write_audit(registry, model, {"move": "rollback", "version": wanted, "before": champion or ""} | row)
    return RolledBack(model, wanted, champion or "")


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return f"user {os.getuid()}"


def _wanted(registry: Registry, model: str, to: str | None) -> str:
    every = registry.client.search_model_versions(f"name = '{model}'")
    found = sorted((int(one.version) for one in every), reverse=True)
    rest = f", +{len(found) - VERSIONS_NAMED}" if len(found) > VERSIONS_NAMED else ""
    there = ", ".join(map(str, found[:VERSIONS_NAMED])) + rest or "none"
    if to is not None:
        if to not in map(str, found):
            raise ConfigRefused(f"--to: {model} has no version {to}; its versions: {there}.")
        return to
    previous = version_of(registry, model, PREVIOUS)
    if previous is None:
        way = "Name one: tuneworthy rollback CONFIG --to VERSION."
        raise ConfigRefused(f"{model} has no previous champion to go back to; its versions: {there}. {way}")
    return previous


def check_answerable(version: Champion, store: ArtifactStore) -> None:
    """Check that a version can answer: the store has its base, MLflow its files, and rows are rendered as learned.

    Raises:
        ModelMissing, ArtifactBroken, TuneworthyError: as in `roll_back`.
    """
    from transformers import AutoTokenizer

    who = f"version {version.version} of {version.model}"
    if not version.base_digest or not store.is_whole(version.base_digest):
        named = f"{version.base_name} with digest {version.base_digest[:12]}"
        named = named if version.base_digest else "a base that its tags do not name"
        raise ModelMissing(
            f"{who} needs {named}, which is not in {store.address}, so it could not answer. The champion was not "
            "changed. Set TUNEWORTHY_STORE to the store of the run that registered it, or run a config with that base "
            "once, which brings the base there."
        )
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "out"
        out.mkdir()
        problem = download_served(version, Path(scratch) / "download", out)
        if problem:
            raise ArtifactBroken(f"{problem}. The champion was not changed. Name another version with --to.")
        base = str(store.open(version.base_digest))
        tokenizer = AutoTokenizer.from_pretrained(base, trust_remote_code=False, local_files_only=True)
        found = hashlib.sha256(str(tokenizer.chat_template).encode()).hexdigest()
        if found != version.template_digest:
            fitted = f"{who} was fitted with chat template {version.template_digest[:12]}"
            raise ArtifactBroken(f"{fitted}, its base has {found[:12]}. The champion was not changed.")
        verify_golden(out, tokenizer)
