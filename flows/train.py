"""The flow that a GPU worker runs: same stages, same keys, same store as in the main path, from an order that holds no
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
from flows.mending import again_when_broken
from flows.sources import require_shared_store
from schemas.artifacts import AdapterArtifact
from schemas.errors import MachineLacks
from schemas.orders import TrainOrder
from tasks.benchmark.task import benchmark_adapter
from tasks.reuse.planning import enter_run
from tasks.training.task import train_adapter

SLOT_SECONDS = 60.0  # the shortest that Prefect takes


@flow(name="train", flow_run_name="{order.run}", persist_result=False)
@again_when_broken
def train(order: TrainOrder) -> AdapterArtifact:
    """Fit the adapter of a run, measure its arms and what it forgot beside the card, sealed in the store; the run that
    ordered it finds them there.
    """
    require_shared_store()
    enter_run(order.run, order.stages)
    with one_on_the_card():
        with live_in_mlflow(order.run):
            adapter = train_adapter(order.training, order.rendering, order.base, order.data, order.seed)
        score_arms(order.task, order.arms, order.seed, order.arms.trained, order.base, order.data, adapter)
        benchmark_adapter(order.benchmark_limit, order.confidence, order.base, adapter, order.seed, order.benchmark)
    return adapter


@contextlib.contextmanager
def one_on_the_card() -> Iterator[None]:
    """Hold the card's slot: strictly, since Prefect lets everybody pass where the limit does not exist.

    A killed holder's slot is free a minute later. A server that is away for longer than that does not end a training
    that runs.
    """
    try:
        with concurrency(
            "gpu", occupy=1, strict=True, lease_duration=SLOT_SECONDS, raise_on_lease_renewal_failure=False
        ):
            yield
    except ConcurrencySlotAcquisitionError as fault:
        raise MachineLacks(
            f"The concurrency limit gpu does not answer ({fault}). Make it once: tuneworthy bootstrap."
        ) from fault
