"""Everything outside the store that a run stands on, found and digested before anything starts, with all problems told
at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

import httpx
from pydantic import BaseModel, ConfigDict

from schemas.artifacts import BaseSource, BenchmarkSources, SourceFile, Sources
from schemas.config import RunConfig
from schemas.errors import MachineLacks, TuneworthyError
from tasks.base.sources import locate_base
from tasks.benchmark.locating import locate_benchmarks, locate_cached_items
from tasks.data.locating import locate_data
from tasks.reuse.current_store import current_store

T = TypeVar("T")


class RunSources(BaseModel):
    """The run's files by content: rows, documents and contract, the base model, the benchmark tasks, and their hub data
    that is cached here.
    """

    model_config = ConfigDict(frozen=True)
    data: Sources
    base: BaseSource
    benchmark: BenchmarkSources
    cached_items: dict[str, tuple[SourceFile, ...]]


def locate(config: RunConfig) -> RunSources:
    """Find and digest everything that the config names outside the store.

    Raises:
        TuneworthyError: something is not there; when several things are not, one error of the first one's class names
            them all.
    """
    require_shared_store()
    require_shared_registry()
    store, folder = current_store(), Path(config.folder)
    faults: list[TuneworthyError] = []
    data = _found(lambda: locate_data(config, store, password_at(config.data.password)), faults)
    base = _found(lambda: locate_base(config.base, folder, store), faults)
    benchmark = _found(lambda: locate_benchmarks(config.benchmark, folder, store), faults)
    if data is None or base is None or benchmark is None:
        raise type(faults[0])("\n".join(str(fault) for fault in faults))
    return RunSources(data=data, base=base, benchmark=benchmark, cached_items=locate_cached_items(benchmark, store))


def password_at(place: str | None) -> str | None:
    """Return the password that is kept in an environment variable (env:NAME) or in a Secret block of Prefect
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
                f"data.password: the environment variable {name} is not set here. Set it where this command or the "
                "worker runs."
            )
        return os.environ[name]
    from prefect.blocks.system import Secret

    try:
        return str(cast("Secret[str]", Secret.load(name)).get())
    except ValueError:
        raise MachineLacks(
            f"data.password: Prefect has no Secret block named {name}. Make one in its UI (Blocks, Secret), or set "
            "env:NAME."
        ) from None
    except httpx.TransportError as fault:
        raise MachineLacks(
            f"data.password: the Prefect server that keeps it does not answer ({fault}). Start it, or set env:NAME."
        ) from None


def require_shared_store() -> None:
    """Refuse a deployment's run without a named store: in a worker's temporary folder everything would be lost, and
    nothing ever reused.

    Raises:
        MachineLacks: TUNEWORTHY_STORE is not set where a deployment runs.
    """
    from prefect.runtime import deployment

    if deployment.id is not None and not os.environ.get("TUNEWORTHY_STORE"):
        raise MachineLacks(
            "TUNEWORTHY_STORE is not set on this worker, so its results would go with its temporary folder. Set it "
            "to the store that all share."
        )


def require_shared_registry() -> None:
    """Refuse a shared store beside an MLflow of this machine alone: the others would find its records there and the
    versions nowhere.

    Raises:
        MachineLacks: TUNEWORTHY_STORE is a URL and MLFLOW_TRACKING_URI is not set.
    """
    store = os.environ.get("TUNEWORTHY_STORE", "")
    if "://" in store and not os.environ.get("MLFLOW_TRACKING_URI"):
        raise MachineLacks(
            f"TUNEWORTHY_STORE={store} is shared, but MLFLOW_TRACKING_URI is not set, and the default MLflow is a "
            "file of this machine alone. Set it to the "
            "server that all share, or to sqlite:////absolute/path.db to keep it here."
        )


def _found(find: Callable[[], T], faults: list[TuneworthyError]) -> T | None:
    try:
        return find()
    except TuneworthyError as fault:
        faults.append(fault)
        return None
