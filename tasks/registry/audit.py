"""What a registry says to people: every move of a model's champion, and where all models stand now."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from schemas.errors import ConfigRefused
from tasks.registry.champion import is_missing_database, remember_overview, remembered_overview
from tasks.registry.connection import default_uri, open_registry
from tasks.registry.mlflow_registry import CHALLENGER, CHAMPION
from tasks.reuse.store import ArtifactStore

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import RegisteredModel


class Move(BaseModel):
    """One audit row: which version was placed as what, when, why and by whom ("": a run)."""

    model_config = ConfigDict(extra="ignore")
    move: str
    version: str
    before: str = ""
    placed_at: str = ""
    placed_because: str = ""
    placed_by: str = ""
    score: str = ""
    score_low: str = ""
    score_high: str = ""


@dataclass(frozen=True)
class Placed:
    """A registered model as it stands: its champion and challenger ("": none), the champion's score, and since when."""

    model: str
    champion: str = ""
    challenger: str = ""
    score: str = ""
    score_low: str = ""
    score_high: str = ""
    since: str = ""


def moves_of(destination: str, model: str, store: ArtifactStore) -> list[Move]:
    """Return a model's audit rows, the oldest first.

    Raises:
        ConfigRefused: there is no such model.
        RegistryUnreachable: MLflow does not answer.
    """
    if is_missing_database(destination or default_uri(store)):
        raise ConfigRefused(
            f"Nothing is registered in {store.address} yet. Set TUNEWORTHY_STORE or MLFLOW_TRACKING_URI."
        )
    with open_registry(destination, store, "Nothing was changed.") as registry:
        found = {one.name: one.tags for one in registry.client.search_registered_models()}
    if model not in found:
        raise ConfigRefused(f"There is no model {model}. Registered are: {', '.join(sorted(found)) or 'none'}.")
    rows = [json.loads(text) for name, text in sorted(found[model].items()) if name.startswith("audit.")]
    return [Move.model_validate(row) for row in rows]


def overview(destination: str, store: ArtifactStore) -> list[Placed]:
    """Return all registered models; where a SQLite file has not changed since it was last asked, MLflow is not loaded.

    Raises:
        RegistryUnreachable: MLflow does not answer.
    """
    uri = destination or default_uri(store)
    if is_missing_database(uri):
        return []
    known = remembered_overview(store, uri)
    if known is None:
        with open_registry(destination, store, "Nothing was changed.") as registry:
            found = registry.client.search_registered_models()
            known = [asdict(_placed(registry.client, one)) for one in found]
        remember_overview(store, uri, known)
    return [Placed(**one) for one in known]


def _placed(client: MlflowClient, found: RegisteredModel) -> Placed:
    aliases = {name: str(version) for name, version in found.aliases.items()}
    champion = aliases.get(CHAMPION, "")
    tags = client.get_model_version(found.name, champion).tags if champion else {}
    scored = [tags.get(name, "") for name in ("score", "score_low", "score_high", "placed_at")]
    return Placed(found.name, champion, aliases.get(CHALLENGER, ""), *scored)
