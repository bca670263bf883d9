"""The flow that a GPU worker runs: the same stages, keys and store as in the main path, from an order that contains no
path.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from prefect import flow
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
from prefect.concurrency.sync import concurrency

from flows.arms import score_arms
from flows.live import live_in_mlflow
from flows.mending import retry_when_broken
from flows.sources import require_shared_store
from schemas.artifacts import AdapterArtifact
from schemas.errors import MachineLacks
from schemas.orders import TrainOrder
from tasks.benchmark.task import benchmark_adapter
from tasks.reuse.planning import enter_run
from tasks.training.task import train_adapter

SLOT_SECONDS = 60.0  # the shortest that Prefect takes


@flow(name="train", flow_run_name="{order.run}", persist_result=False)
@retry_when_broken
def train(order: TrainOrder) -> AdapterArtifact:
    """Fit the adapter of a run, then measure its arms and what it forgot on the same GPU; the run that ordered it finds
    the results in the store.
    """
    require_shared_store()
    enter_run(order.run, order.stages)
    with gpu_slot():
        with live_in_mlflow(order.run):
            adapter = train_adapter(order.training, order.rendering, order.base, order.data, order.seed)
        score_arms(order.task, order.arms, order.seed, order.arms.trained, order.base, order.data, adapter)
        benchmark_adapter(order.benchmark_limit, order.confidence, order.base, adapter, order.seed, order.benchmark)
    return adapter


@contextlib.contextmanager
def gpu_slot() -> Iterator[None]:
    """Hold a slot of the concurrency limit `gpu`; strict, since Prefect otherwise ignores a limit that does not exist.

    The slot of a killed process is freed a minute later. A server that is unreachable for longer than that does not end
    a running training.
    """
    try:
        with concurrency(
            "gpu", occupy=1, strict=True, lease_duration=SLOT_SECONDS, raise_on_lease_renewal_failure=False
        ):
            yield
    except ConcurrencySlotAcquisitionError as fault:
        raise MachineLacks(
            f"No slot of the concurrency limit gpu ({fault}). Create the limit once: tuneworthy bootstrap."
        ) from fault
