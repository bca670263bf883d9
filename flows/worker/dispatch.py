"""Training on another machine: the order goes to a deployment, the result comes back through the shared store.

The parent then calls the same stages that the worker ran, and each is answered from the store. Where the adapter is in
the store already, nothing is sent.
"""

from __future__ import annotations

import random
import re
import time
from typing import TYPE_CHECKING, cast

import schemas.errors
from flows.worker.pools import places_held
from schemas.config import RunConfig, StageLimits
from schemas.errors import TrainingStopped, TransientFault, TuneworthyError, WorkerMissing
from schemas.orders import TrainOrder
from tasks.reuse.planning import Pending, current_plan
from tasks.reuse.prefect_tasks import FlowRunPage, in_flow_run, page_of, publish_link
from tasks.reuse.progress import Reporters, current_reporter
from tasks.training.task import train_adapter

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun, State

    from schemas.artifacts import (
        BenchmarkFilesArtifact,
        DataArtifact,
        ModelArtifact,
        RenderingArtifact,
        ReplayTextsArtifact,
    )

SECONDS_BETWEEN_LOOKS = 2.0
SECONDS_BEFORE_ANOTHER_TRY = 2.0  # doubled with each try, and up to half as much again by chance
LINK = "worker-run"


def send_training(
    config: RunConfig,
    rendering: RenderingArtifact,
    base: ModelArtifact,
    data: DataArtifact,
    benchmark: BenchmarkFilesArtifact,
    replay: ReplayTextsArtifact | None = None,
    searched: DataArtifact | None = None,
) -> None:
    """Have the deployment that `training.where` names fit the adapter, and wait for it; do nothing where none is named
    or needed.

    A worker's run that crashed or met a transient fault is submitted again as often as `stages.train_adapter.retries`
    allows; it resumes from its last checkpoint where the worker can reach that.

    Raises:
        WorkerMissing: no healthy worker serves the pool and `training.without_worker` is "fail", or there is no such
            deployment.
        TransientFault: the worker's run did not complete.
    """
    if config.training.where is None or current_plan.get() is not None or isinstance(rendering, Pending):
        return
    call = train_adapter.call(config.training, rendering, base, data, config.seed, replay)
    if call.recorded() is not None:
        return
    settings = {name: getattr(config, name) for name in ("training", "task", "arms", "seed", "stages")}
    settings["run"] = config.name
    asking = config.benchmark.asking(config.decision.confidence)
    made = {"rendering": rendering, "base": base, "data": data, "benchmark": benchmark, "replay": replay}
    made |= {"searched": searched}
    order = TrainOrder(**settings, asking=asking, **made)
    retries = config.stages.get("train_adapter", StageLimits()).retries
    for tried in range(retries + 1):
        try:
            _watch(_submit(order, config.training.where, config.training.without_worker, call.key))
            break
        except TransientFault as fault:
            if tried == retries:
                raise
            pause = SECONDS_BEFORE_ANOTHER_TRY * 2**tried * (1 + random.random() / 2)
            _say(f"{fault} Try {tried + 2} of {retries + 1} in {pause:.0f} s.")
            time.sleep(pause)


def _say(line: str) -> None:
    """Report a line, also in the flow run's log: on a worker there is no terminal."""
    pages = [FlowRunPage("send_training")] if in_flow_run() else []
    Reporters(current_reporter.get(), *pages).say(line)


def _submit(order: TrainOrder, deployment: str, without_worker: str, key: str) -> FlowRun:
    """Submit the order once per key; a run of the same key that has failed does not prevent another try."""
    from prefect.client.orchestration import get_client
    from prefect.deployments import run_deployment

    with get_client(sync_client=True) as client:
        _check_worker(client, deployment, without_worker)
    attempt = key
    while True:
        submitted = run_deployment(
            deployment,
            parameters={"order": order.model_dump(mode="json")},
            timeout=0,
            idempotency_key=attempt,
            as_subflow=True,
        )
        run = cast("FlowRun", submitted)  # a coroutine only inside an event loop, where this never runs
        if run.state is None or not run.state.is_final() or run.state.is_completed():
            _say(f"training was sent to {deployment}: flow run {run.name} ({run.id})")
            publish_link(LINK, page_of(run.id), f"Flow run {run.name} on {deployment}: its log and progress.")
            return run
        attempt = f"{key}-{run.id}"


def _check_worker(client: SyncPrefectClient, deployment: str, without_worker: str) -> None:
    from prefect.exceptions import ObjectNotFound

    try:
        pool = client.read_deployment_by_name(deployment).work_pool_name
    except (ObjectNotFound, ValueError):
        raise WorkerMissing(
            f"training.where: there is no deployment {deployment!r}. Deploy it (prefect deploy --all), or leave "
            "training.where out to train here."
        ) from None
    workers = client.read_workers_for_work_pool(pool) if pool else []
    if any(str(worker.status).upper().endswith("ONLINE") for worker in workers):
        return
    problem = f"no healthy worker serves pool {pool!r} of {deployment!r}; start one: prefect worker start --pool {pool}"
    if without_worker == "fail":
        raise WorkerMissing(f"training.where: {problem}. Or set training.without_worker: wait.")
    _say(f"waiting: {problem}")


def _watch(run: FlowRun) -> None:
    """Wait for the worker's run to end, and report every change of its state."""
    from prefect.client.orchestration import get_client

    last = ""
    with get_client(sync_client=True) as client:
        while True:
            state = client.read_flow_run(run.id).state
            if state is not None and state.is_final():
                break
            standing = _standing(client, run, state) if state is not None else last
            if standing != last:
                last = standing
                _say(last)
            time.sleep(SECONDS_BETWEEN_LOOKS)
    if not state.is_completed():
        ended = f"The worker's run {run.name} ended as {state.name}: {state.message}. See flow run {run.id}"
        raise _fault_of(state)(f"{ended}; run again to resume from its last checkpoint.")


def _standing(client: SyncPrefectClient, run: FlowRun, state: State) -> str:
    """Return how a run stands; while every place of its pool is taken, by whom."""
    pool = run.work_pool_name
    limit = client.read_work_pool(pool).concurrency_limit if pool and state.is_scheduled() else None
    if pool and limit is not None and len(holders := places_held(client, pool)) >= limit:
        named = ", ".join(f"{holder.name} ({holder.id})" for holder in holders)
        return f"waits for the card: pool {pool} runs {limit} at a time, now {named}"
    return f"worker's run {run.name}: {state.name}"


def _fault_of(state: State) -> type[TuneworthyError]:
    """Return the class of the error for a worker's run that did not complete: a crash is transient, a cancelled run is
    not, and a failed one has the class that its message names.
    """
    if state.is_cancelled():
        return TrainingStopped
    if state.is_crashed():
        return TransientFault
    named = re.search(r"\b(\w+):", (state.message or "").removeprefix("Flow run encountered an exception:"))
    found = getattr(schemas.errors, named.group(1), None) if named else None
    return found if isinstance(found, type) and issubclass(found, TuneworthyError) else TransientFault
