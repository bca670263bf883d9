"""Looks the champion up in MLflow before a run decides anything, and remembers the answer, so that a run without
changes need not ask.

MLflow takes seconds to load, and a run that finds everything in the store loads nothing heavy. Where a SQLite database
has not changed since the last look-up, the last answer still holds. A server that does not answer is not asked again
for a minute, and the last answer is marked as remembered.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from schemas.champion import Champion, RegistryLookup, SplitRule
from schemas.errors import RegistryUnreachable
from tasks.registry.connection import default_uri, open_registry, shown
from tasks.reuse.store import ArtifactStore, write_atomically

if TYPE_CHECKING:
    from tasks.registry.connection import Registry

SECONDS_UNASKED = 60.0
SQLITE = "sqlite:///"
NO_CHAMPION = "there is no champion yet"
_did_not_answer: dict[str, float] = {}  # URI -> when


def find_champion(destination: str, model: str, store: ArtifactStore) -> RegistryLookup:
    """Return the champion of a registered model, and the version that it took over from.

    Args:
        destination: tracking URI; "" for the SQLite file in the store, which a look-up does not create.
        model: name of the registered model.
        store: remembers the answer.
    """
    uri = destination or default_uri(store)
    if is_missing_database(uri):
        return _no_champion()
    mark = _database_mark(uri)
    remembered, past_mark = _remembered(store, uri, model)
    if remembered is not None and mark and mark == past_mark:
        return remembered
    if time.monotonic() - _did_not_answer.get(uri, -SECONDS_UNASKED) >= SECONDS_UNASKED:
        try:
            with open_registry(destination, store, "Nothing was changed.") as registry:
                found = _look_up(registry, model)
        except RegistryUnreachable:
            _did_not_answer[uri] = time.monotonic()
        else:
            _remember(store, uri, model, found, mark)
            return found
    return unanswered(uri) if remembered is None else remembered.model_copy(update={"is_remembered": True})


def remembered_overview(store: ArtifactStore, uri: str) -> list[dict[str, str]] | None:
    """Return what was remembered of all models while the database is as it was then, else None."""
    try:
        memo = json.loads(_memo(store, uri, "").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return memo["models"] if memo["mark"] and memo["mark"] == _database_mark(uri) else None


def remember_overview(store: ArtifactStore, uri: str, models: list[dict[str, str]]) -> None:
    """Remember what MLflow says of all models now."""
    write_atomically(_memo(store, uri, ""), json.dumps({"mark": _database_mark(uri), "models": models}), store)


def unanswered(uri: str) -> RegistryLookup:
    """Return the look-up that a run uses when MLflow does not answer."""
    return RegistryLookup(why_none=f"MLflow at {shown(uri)} does not answer, so no champion was measured")


def _no_champion() -> RegistryLookup:
    return RegistryLookup(why_none=NO_CHAMPION)


def _look_up(registry: Registry, model: str) -> RegistryLookup:
    from tasks.registry.mlflow_registry import CHAMPION, version_of

    version = version_of(registry, model, CHAMPION)
    if version is None:
        return _no_champion()
    champion = read_champion(registry, model, version)
    before = read_champion(registry, model, champion.took_over_from) if champion.took_over_from else None
    return RegistryLookup(champion=champion, before=before, why_none="" if before else NO_CHAMPION)


def read_champion(registry: Registry, model: str, version: str) -> Champion:
    """Return what a version's tags say; a missing tag is empty."""
    from mlflow.exceptions import MlflowException

    try:
        tags: Mapping[str, str] = registry.client.get_model_version(model, version).tags
    except MlflowException as fault:
        if fault.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        tags = {}  # deleted in the UI
    texts = Champion.model_fields.keys() - {"model", "version", "split"}
    known = {name: tags[name] for name in texts if name in tags}
    split = None
    with contextlib.suppress(ValidationError):  # a tag of another release, or of a person
        split = SplitRule.model_validate_json(tags.get("split", ""))
    own = {"model": model, "version": version, "split": split}
    return Champion.model_validate({"adapter_digest": ""} | known | own)


def listed_files(destination: str, champion: Champion, store: ArtifactStore) -> tuple[str, ...]:
    """Return MLflow's files of a version's adapter with their sizes; a changed listing fetches them again."""
    with open_registry(destination, store, "Nothing was changed."):
        return files_there(champion)


def files_there(champion: Champion) -> tuple[str, ...]:
    """Return the same, none where MLflow cannot list them; call it while MLflow is open."""
    from mlflow.artifacts import list_artifacts
    from mlflow.exceptions import MlflowException

    try:
        found = list_artifacts(artifact_uri=f"models:/{champion.model}/{champion.version}/adapter")
    except (MlflowException, OSError):
        return ()
    return tuple(sorted(f"{Path(file.path).name} {file.file_size}" for file in found))


def is_missing_database(uri: str) -> bool:
    """Tell whether a tracking URI is a SQLite file that does not exist: opening would create it."""
    return uri.startswith(SQLITE) and not _database(uri).exists()


def _database(uri: str) -> Path:
    return Path(uri.removeprefix(SQLITE).partition("?")[0])  # such as ?timeout=60


def _database_mark(uri: str) -> str:
    """Return what changes whenever a SQLite database is written; "" for any other MLflow."""
    if not uri.startswith(SQLITE):
        return ""
    path = _database(uri)
    marks = [part.stat() for part in (path, Path(f"{path}-wal")) if part.exists()]
    return " ".join(f"{stat.st_size}-{stat.st_mtime_ns}-{stat.st_ino}" for stat in marks)


def _memo(store: ArtifactStore, uri: str, model: str) -> Path:
    return store.folder("memo") / f"champion-{hashlib.sha256(f'{uri} {model}'.encode()).hexdigest()[:32]}.json"


def _remembered(store: ArtifactStore, uri: str, model: str) -> tuple[RegistryLookup | None, str]:
    try:
        memo = json.loads(_memo(store, uri, model).read_text(encoding="utf-8"))
        return RegistryLookup.model_validate(memo["look"]), str(memo["mark"])
    except (OSError, ValueError, KeyError, ValidationError):
        return None, ""


def _remember(store: ArtifactStore, uri: str, model: str, found: RegistryLookup, mark: str) -> None:
    text = json.dumps({"mark": mark, "look": found.model_dump(mode="json")})
    write_atomically(_memo(store, uri, model), text, store)
