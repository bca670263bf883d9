"""A registered version made ready to be served: fetched from MLflow, checked, loaded, and decoding."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from schemas.errors import ArtifactBroken, ConfigRefused
from tasks.inference.batching import common_prefix
from tasks.inference.continuous import Engine
from tasks.inference.prompts.prompt_builder import Request
from tasks.inference.prompts.rendering import render_prompt
from tasks.registry.champion import files_there, read_champion
from tasks.registry.connection import Registry, open_registry
from tasks.registry.fetching import version_digest
from tasks.registry.mlflow_registry import CHAMPION, version_of
from tasks.registry.version.served import AdaptedModel
from tasks.registry.version.served_facts import ServedFacts
from tasks.reuse.store import ArtifactStore


@dataclass(frozen=True)
class Name:
    """A model's name with the alias or number of a version: "tickets@champion", "tickets/3"."""

    model: str
    alias: str = CHAMPION
    version: str = ""

    @classmethod
    def parse(cls, text: str) -> Name:
        """Return the name that a text spells; without alias and number it is the champion.

        Raises:
            ConfigRefused: it spells none.
        """
        model, slash, version = text.partition("/")
        name, at, alias = model.partition("@")
        if not name or (at and (slash or not alias)) or (slash and not version.isdigit()):
            raise ConfigRefused(f"{text!r} names no version. Write NAME@champion, NAME@challenger or NAME/3.")
        return cls(name, alias or CHAMPION, version)

    def found(self, registry: Registry) -> str:
        """Return the number of the version.

        Raises:
            ConfigRefused: there is none.
        """
        version = self.version or version_of(registry, self.model, self.alias)
        there = sorted(int(one.version) for one in registry.client.search_model_versions(f"name = '{self.model}'"))
        if version is None or int(version) not in there:
            listed = ", ".join(map(str, there)) or "none: `tuneworthy run` registers an adapter that earned its place"
            raise ConfigRefused(f"There is no {self}. Versions of {self.model}: {listed}.")
        return version

    def __str__(self) -> str:
        """Return it as it is typed."""
        return f"{self.model}/{self.version}" if self.version else f"{self.model}@{self.alias}"


@dataclass(frozen=True)
class FetchedVersion:
    """A version's files on this machine: the adapter's folder as MLflow has it, and what it answers with."""

    name: Name
    version: str
    adapter: Path
    facts: ServedFacts


def fetch_version(
    destination: str, name: Name, store: ArtifactStore, folder: Path, version: str = ""
) -> FetchedVersion:
    """Download a version, the name's own where none is given, into `folder`, and check it against the digest that it
    was registered with.

    Raises:
        ConfigRefused: there is no such version.
        ArtifactBroken: MLflow lacks its files, or has others than were registered.
        RegistryUnreachable: MLflow does not answer.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    with open_registry(destination, store, "Nothing was changed.") as registry:
        version = version or name.found(registry)
        champion = read_champion(registry, name.model, version)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            found = Path(download_artifacts(artifact_uri=f"models:/{name.model}/{version}", dst_path=str(folder)))
        except (MlflowException, OSError) as fault:
            if files_there(champion):
                raise
            raise ArtifactBroken(f"MLflow does not have the files of version {version} of {name.model}.") from fault
    if champion.served_digest not in ("", version_digest(found / "adapter")):
        raise ArtifactBroken(
            f"The files of version {version} of {name.model} in MLflow are not the ones that were registered. Run "
            "`tuneworthy run` again, which registers the adapter anew, or go back: tuneworthy rollback."
        )
    settings = yaml.safe_load((found / "MLmodel").read_text(encoding="utf-8"))["flavors"]["python_function"]["config"]
    return FetchedVersion(name, version, found / "adapter", ServedFacts(**settings))


class ServingVersion:
    """A version that answers: how its prompts are rendered, and the engine that decodes them."""

    def __init__(self, fetched: FetchedVersion, places: int, room: int) -> None:
        self.name, self.version, self.facts = fetched.name, fetched.version, fetched.facts
        self.model = AdaptedModel(fetched.adapter, fetched.facts)
        self.tokenizer = self.model.loaded.tokenizer
        rendered = [self.rendered(Request(text)) for text in ("a", "7")]
        self.prefix = rendered[0][: common_prefix(rendered)]
        self.window = min(self.model.loaded.window, len(self.prefix) + room)
        room = self.window - len(self.prefix)
        self.engine = Engine(self.model.loaded, self.prefix, places, room, self.facts.grammar)

    def rendered(self, request: Request) -> list[int]:
        """Return the ids of a request's prompt, with the version's tools and what it retrieves for it."""
        request = replace(request, tools=request.tools or self.model.tools)
        return render_prompt(self.tokenizer, self.model.prompts.build(request))

    def text(self, ids: list[int]) -> str:
        """Return the text of an answer's ids."""
        return self.model.loaded.text(ids)
