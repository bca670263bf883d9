"""Versions and aliases of a registered model: one version an adapter, however often it is registered."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tasks.registry.connection import Registry

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
BUILD = Callable[[Path], None]


@dataclass(frozen=True)
class Candidate:
    """What is to be registered; the tags say where it comes from and what it scored.

    Its identity is the digests of the adapter and of what it retrieves from, how many of those it shows, and the
    grammar of its answers: all are fixed in a version.
    """

    model: str
    adapter_digest: str
    tags: dict[str, str]
    description: str
    run_id: str
    carried_digest: str = ""
    top_k: int = 0
    grammar: str = ""

    @property
    def index(self) -> str:
        """The alias by content."""
        shown = f"-{self.carried_digest[:12]}-{self.top_k}" if self.carried_digest else ""
        held = "".join(f"-{digest[:12]}" for digest in self._held.values())
        return f"sha-{self.adapter_digest}{shown}{held}"

    @property
    def _held(self) -> dict[str, str]:
        return {"grammar_digest": hashlib.sha256(self.grammar.encode()).hexdigest()} if self.grammar else {}

    @property
    def identity(self) -> dict[str, str]:
        """The tags that a version of the same content has."""
        shown = {"carried_digest": self.carried_digest, "top_k": str(self.top_k)} if self.carried_digest else {}
        return {"adapter_digest": self.adapter_digest} | shown | self._held


def register(registry: Registry, candidate: Candidate, experiment: str, folder: Path, build: BUILD) -> str:
    """Return the version of this adapter with what it retrieves from, made if there is none yet; its tags describe the
    newest verdict.

    The alias sha-<digest> is the index by content. When several processes register the same adapter at once, the lowest
    version stays and the others delete their own again: version numbers are assigned in order, so each process sees
    every lower one.
    """
    version = version_of(registry, candidate.model, candidate.index)
    if version is None:
        ensure_model(registry, candidate.model)
        own = _new_version(registry, candidate, registry.experiment(experiment), folder, build)
        version = str(min(int(found) for found in _versions_with(registry, candidate)))
        if version != own:
            registry.client.delete_model_version(candidate.model, own)
        registry.client.set_registered_model_alias(candidate.model, candidate.index, version)
    retag(registry, candidate.model, version, candidate.tags)
    return version


def retag(registry: Registry, model: str, version: str, tags: dict[str, str]) -> None:
    """Give a version these tags; each one that it does not have yet is a request."""
    had = registry.client.get_model_version(model, version).tags
    for name, value in tags.items():
        if had.get(name) != value:
            registry.client.set_model_version_tag(model, version, name, value)


def ensure_model(registry: Registry, model: str) -> None:
    """Create the registered model if it does not exist."""
    from mlflow.exceptions import MlflowException

    try:
        registry.client.get_registered_model(model)
    except MlflowException:
        try:
            registry.client.create_registered_model(model)
        except MlflowException:  # another process made it just now; anything else fails here again
            registry.client.get_registered_model(model)


def version_of(registry: Registry, model: str, alias: str) -> str | None:
    """Return the version that an alias points to, or None."""
    from mlflow.exceptions import MlflowException

    try:
        return str(registry.client.get_model_version_by_alias(model, alias).version)
    except MlflowException as fault:
        if fault.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND"):
            return None
        raise


def _versions_with(registry: Registry, candidate: Candidate) -> list[str]:
    found = registry.client.search_model_versions(
        f"name = '{candidate.model}' and tags.adapter_digest = '{candidate.adapter_digest}'"
    )
    absent = {"carried_digest": "", "top_k": "", "grammar_digest": ""}
    own = (absent | candidate.identity).items()
    return [str(version.version) for version in found if own <= (absent | version.tags).items()]


def _new_version(registry: Registry, candidate: Candidate, experiment: str, folder: Path, build: BUILD) -> str:
    client, run = registry.client, candidate.run_id
    shutil.rmtree(folder, ignore_errors=True)
    logged = client.create_logged_model(experiment, name="adapter", source_run_id=run, tags=candidate.identity)
    build(folder)
    client.log_model_artifacts(logged.model_id, str(folder))
    client.finalize_logged_model(logged.model_id, "READY")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    tags: dict[str, Any] = candidate.tags | candidate.identity | {"megabytes": f"{size / 1e6:.2f}"}
    made = client.create_model_version(
        candidate.model,
        f"models:/{logged.model_id}",
        run_id=run,
        tags=tags,
        description=candidate.description,
        model_id=logged.model_id,
    )
    return str(made.version)
