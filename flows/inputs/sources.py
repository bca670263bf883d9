"""Everything outside the store that a run reads, located and hashed first; all problems are reported at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

import httpx
from pydantic import BaseModel, ConfigDict

from schemas.artifacts import ModelArtifact
from schemas.config import RunConfig
from schemas.errors import MachineLacks, TuneworthyError
from schemas.sources import BaseSource, BenchmarkSources, SourceFile, Sources
from tasks.answers.grammar import grammar_of
from tasks.base.sources import locate_base, locate_encoder, refuse_without_tools
from tasks.base.task import fetch_base
from tasks.benchmark.locating import locate_benchmarks, locate_cached_items
from tasks.data.locating import locate_data
from tasks.reuse.current_store import current_store
from tasks.reuse.planning import current_secrets
from tasks.reuse.store import ArtifactStore
from tasks.training.suitability import refuse_unsuitable

T = TypeVar("T")


class RunSources(BaseModel):
    """The run's files by content: rows, documents, contract, base model, benchmark tasks and their cached hub data."""

    model_config = ConfigDict(frozen=True)
    data: Sources
    base: BaseSource
    benchmark: BenchmarkSources
    cached_items: dict[str, tuple[SourceFile, ...]]
    encoder: BaseSource | None = None


def locate(config: RunConfig) -> RunSources:
    """Locate and hash everything that the config names outside the store.

    Raises:
        TuneworthyError: something is missing; when several things are, one error of the first one's class names them
            all.
    """
    require_shared_store()
    require_shared_registry()
    store, folder = current_store(), Path(config.folder)
    faults: list[TuneworthyError] = []
    data = _found(lambda: locate_data(config, store, secret_of("data.password", config.data.password)), faults)
    base = _found(lambda: _base(config, folder, store), faults)
    if base is not None and config.task.answer.format == "tool_call":
        _found(lambda: refuse_without_tools(base), faults)
    _found(lambda: refuse_without_grammar(config, folder), faults)
    benchmark = _found(lambda: locate_benchmarks(config.benchmark, folder, store), faults)
    wanted = config.arms.retrieval.encoder
    encoder = _found(lambda: locate_encoder(wanted, folder, store), faults) if wanted else None
    secrets = _found(lambda: keys_of(config), faults)
    if faults or data is None or base is None or benchmark is None or secrets is None:
        raise type(faults[0])("\n".join(str(fault) for fault in faults))
    current_secrets.set(secrets)
    cached = locate_cached_items(benchmark, store)
    return RunSources(data=data, base=base, benchmark=benchmark, cached_items=cached, encoder=encoder)


def refuse_without_grammar(config: RunConfig, folder: Path) -> None:
    """Refuse arms with a grammar where none can be made of the answer contract."""
    answer = config.task.answer
    if config.arms.with_grammar and (answer.format != "json" or (folder / answer.json_schema).is_file()):
        grammar_of(config.task, folder / answer.json_schema if answer.format == "json" else folder)


def _base(config: RunConfig, folder: Path, store: ArtifactStore) -> BaseSource:
    """Locate the base; refuse it for what its files tell before conversion, and where training cannot use it."""
    source = locate_base(config.base, folder, store)
    known = fetch_base.call(source).recorded()
    if known is None:
        from tasks.base.inspection import inspect_files, template_of

        inspect_files(source.name, [Path(file.path) for file in source.files], template_of(source))
    sealed = store.root / "artifacts" / known.digest if isinstance(known, ModelArtifact) else None
    files = sealed if sealed and sealed.exists() else Path(source.files[0].path).parent
    if config.arms.trained and (files / "config.json").exists():
        refuse_unsuitable(files, config.training)
    return source


def keys_of(config: RunConfig) -> dict[str, str]:
    """Return the keys of the endpoints by the places where they are kept."""
    named = {f"arms.endpoints.{name}.key": one.key for name, one in config.arms.endpoints.items() if one.key}
    return {place: secret_of(setting, place) or "" for setting, place in named.items()}


def secret_of(setting: str, place: str | None) -> str | None:
    """Return the password or key that is kept in an environment variable (env:NAME) or in a Secret block of Prefect
    (prefect:NAME).

    Raises:
        MachineLacks: nothing is kept there.
    """
    if place is None:
        return None
    keeper, _, name = place.partition(":")
    if keeper == "env":
        if name not in os.environ:
            raise MachineLacks(
                f"{setting}: the environment variable {name} is not set here. Set it where this command or the "
                "worker runs."
            )
        return os.environ[name]
    from prefect.blocks.system import Secret

    try:
        return str(cast("Secret[str]", Secret.load(name)).get())
    except ValueError:
        raise MachineLacks(
            f"{setting}: Prefect has no Secret block named {name}. Make one in its UI (Blocks, Secret), or set "
            "env:NAME."
        ) from None
    except httpx.TransportError as fault:
        raise MachineLacks(
            f"{setting}: the Prefect server that keeps it does not answer ({fault}). Start it, or set env:NAME."
        ) from None


def require_shared_store() -> None:
    """Refuse a deployment's run without a named store: everything in a worker's temporary folder would be lost, and
    nothing would ever be reused.

    Raises:
        MachineLacks: TUNEWORTHY_STORE is not set where a deployment runs.
    """
    from prefect.runtime import deployment

    if deployment.id is not None and not os.environ.get("TUNEWORTHY_STORE"):
        raise MachineLacks(
            "TUNEWORTHY_STORE is not set on this worker, so its results would be lost with its temporary folder. Set "
            "it to the store that all machines share."
        )


def require_shared_registry() -> None:
    """Refuse a shared store with an MLflow on this machine only: other machines would find the records of versions that
    they cannot reach.

    Raises:
        MachineLacks: TUNEWORTHY_STORE is a URL and MLFLOW_TRACKING_URI is not set.
    """
    store = os.environ.get("TUNEWORTHY_STORE", "")
    if "://" in store and not os.environ.get("MLFLOW_TRACKING_URI"):
        raise MachineLacks(
            f"TUNEWORTHY_STORE={store} is shared, but MLFLOW_TRACKING_URI is not set, and the default MLflow is a file "
            "on this machine only. Set it to the server that all machines share, or to sqlite:////absolute/path.db to "
            "keep it on this machine."
        )


def _found(find: Callable[[], T], faults: list[TuneworthyError]) -> T | None:
    try:
        return find()
    except TuneworthyError as fault:
        faults.append(fault)
        return None
