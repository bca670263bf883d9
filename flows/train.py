"""The flow that a GPU worker runs: the main path's stages, keys and store, from an order without any path."""

from __future__ import annotations

from prefect import flow

from flows.arms import score_arms
from flows.inputs.sources import require_shared_store
from flows.live import live_in_mlflow
from flows.mending import retry_when_broken
from schemas.artifacts import AdapterArtifact
from schemas.orders import TrainOrder
from tasks.benchmark.task import benchmark_adapter
from tasks.reuse.planning import enter_run
from tasks.training.task import train_adapter


@flow(name="train", flow_run_name="{order.run}", persist_result=False)
@retry_when_broken
def train(order: TrainOrder) -> AdapterArtifact:
    """Fit a run's adapter and measure its arms on the same GPU; the run that ordered it finds all in the store."""
    # The pool's limit guards the card: Prefect counts a pool's runs in its database. A slot of a concurrency limit is
    # lost with a server that restarts meanwhile, and no later training would begin.
    require_shared_store()
    enter_run(order.run, order.stages)
    with live_in_mlflow(order.run):
        adapter = train_adapter(order.training, order.rendering, order.base, order.data, order.seed, order.replay)
    score_arms(order.task, order.arms, order.seed, order.arms.trained, order.base, order.data, adapter, order.searched)
    benchmark_adapter(order.asking, order.base, adapter, order.seed, order.benchmark)
    return adapter
