"""`tuneworthy bootstrap`: what a Prefect server needs once. Running it twice changes nothing; what an older bootstrap
created is brought up to date.

Creates the work pools cpu and gpu (the gpu pool takes one run at a time, and is all that guards the card) and the
automation that marks runs of dead workers as Crashed: a self-hosted server leaves them Running for ever. A run counts
as dead after three missed heartbeats, so the pools also set how often their runs send one: Prefect's default is every
180 s, and what a worker's own environment says would hold for that worker only.
"""

from __future__ import annotations

import argparse
import copy
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from flows.worker.pools import places_held
from schemas.errors import MachineLacks

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun, WorkPool
    from prefect.events.schemas.automations import EventTrigger

POOLS = ("cpu", "gpu")
TAG = "tuneworthy"  # every deployment of prefect.yaml has it, and so have its runs
HEARTBEAT = "prefect.flow-run.heartbeat"
FREQUENCY = "PREFECT_FLOWS_HEARTBEAT_FREQUENCY"
HEARTBEAT_SECONDS = 30  # the shortest that Prefect takes
AUTOMATION = "tuneworthy: runs of dead workers crash"
SILENCE = timedelta(seconds=3 * HEARTBEAT_SECONDS)
SIGNS_OF_LIFE = ("heartbeat", "Completed", "Failed", "Cancelled", "Crashed", "Suspended")
# Runs that an older bootstrap's pool started send a heartbeat every 180 s.
LOST_AFTER = timedelta(minutes=10)


def bootstrap(arguments: argparse.Namespace) -> int:
    """Set up the Prefect server that PREFECT_API_URL names.

    Raises:
        MachineLacks: no server is named; the temporary server of a run would end with it.
    """
    if not os.environ.get("PREFECT_API_URL"):
        way = "Start a server (prefect server start) and set PREFECT_API_URL=http://127.0.0.1:4200/api."
        raise MachineLacks(f"bootstrap: PREFECT_API_URL is not set. {way}")
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        for name in POOLS:
            print(_pool(client, name, arguments.gpu_slots if name == "gpu" else None))
        print(_crash_automation())
        for line in (*_lost_runs(client), *_unused_limit(client)):
            print(line)
    return 0


def _pool(client: SyncPrefectClient, name: str, limit: int | None) -> str:
    from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
    from prefect.exceptions import ObjectNotFound

    try:
        found = client.read_work_pool(name)
    except ObjectNotFound:
        template = _with_heartbeats(_process_template())
        wanted = {"type": "process", "concurrency_limit": limit, "base_job_template": template}
        client.create_work_pool(WorkPoolCreate(name=name, **wanted))
        return f"work pool {name}: created"
    if not found.base_job_template and found.type != "process":
        way = "start a worker for it once, then run bootstrap again, so that its runs send heartbeats in time"
        return f"work pool {name}: is of type {found.type} and has no job template yet; {way}"
    template = _with_heartbeats(found.base_job_template or _process_template())
    changes = _changes(found, template, limit)
    if changes:
        # The limit goes along unchanged where there is none to set: an update without it would lift it.
        limit = found.concurrency_limit if limit is None else limit
        client.update_work_pool(name, WorkPoolUpdate(base_job_template=template, concurrency_limit=limit))
    return f"work pool {name}: {', '.join(changes) or 'exists'}"


def _changes(found: WorkPool, template: dict[str, Any], limit: int | None) -> list[str]:
    changes = []
    if limit is not None and found.concurrency_limit != limit:
        changes.append(f"limit {found.concurrency_limit} -> {limit}")
    if template != found.base_job_template:
        changes.append(f"its runs send a heartbeat every {HEARTBEAT_SECONDS} s")
    return changes


def _process_template() -> dict[str, Any]:
    """Return what Prefect gives a pool of processes that has no job template of its own."""
    from prefect.workers.process import ProcessWorker

    return ProcessWorker.get_default_base_job_template()


def _with_heartbeats(template: dict[str, Any]) -> dict[str, Any]:
    """Return a job template that also sets how often runs send heartbeats."""
    made = copy.deepcopy(template)
    environment = made["variables"]["properties"].setdefault("env", {"type": "object"})
    environment["default"] = {**(environment.get("default") or {}), FREQUENCY: str(HEARTBEAT_SECONDS)}
    return made


def _crash_automation() -> str:
    from prefect.automations import Automation
    from prefect.client.schemas.objects import StateType
    from prefect.events.actions import ChangeFlowRunState

    trigger = _silence_of_ours()
    try:
        found: Any = Automation.read(name=AUTOMATION)  # outside a loop it is done at once
    except ValueError:
        action = ChangeFlowRunState(state=StateType.CRASHED, message="The worker's heartbeats stopped.")
        Automation(name=AUTOMATION, trigger=trigger, actions=[action]).create()
        return f"automation {AUTOMATION!r}: created"
    if found.trigger.model_dump() == trigger.model_dump():
        return f"automation {AUTOMATION!r}: exists"
    found.trigger = trigger
    found.update()
    dead = f"calls them dead after {SILENCE.total_seconds():.0f} s without a heartbeat"
    return f"automation {AUTOMATION!r}: looks at runs tagged {TAG!r} only, and {dead}"


def _silence_of_ours() -> EventTrigger:
    """Return what fires the automation: a tagged deployment's run that has started and sends no heartbeat any more."""
    from prefect.events.schemas.automations import EventTrigger, Posture
    from prefect.events.schemas.events import ResourceSpecification

    ours = {"prefect.resource.id": [f"prefect.tag.{TAG}"], "prefect.resource.role": ["tag"]}
    return EventTrigger(
        after={"prefect.flow-run.Running", HEARTBEAT},
        expect={f"prefect.flow-run.{sign}" for sign in SIGNS_OF_LIFE},
        match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
        match_related=ResourceSpecification(ours),
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=SILENCE,
    )


def _lost_runs(client: SyncPrefectClient) -> Iterator[str]:
    """Mark runs as Crashed that hold a place in silence: the automation sees none without a first heartbeat."""
    from prefect.states import Crashed

    since = datetime.now(UTC) - LOST_AFTER
    for pool in POOLS:
        for run in places_held(client, pool, [TAG]):
            if run.state is None or run.state.timestamp > since or _has_heartbeat(client, run, since):
                continue
            minutes = LOST_AFTER.total_seconds() / 60
            message = f"No sign of life for {minutes:.0f} minutes; tuneworthy bootstrap freed its place in pool {pool}."
            client.set_flow_run_state(run.id, Crashed(message=message), force=True)
            yield f"flow run {run.name} ({run.id}): {run.state.name} -> Crashed. {message}"


def _has_heartbeat(client: SyncPrefectClient, run: FlowRun, since: datetime) -> bool:
    from prefect.events.filters import EventFilter, EventNameFilter, EventOccurredFilter, EventResourceFilter

    wanted = EventFilter(
        event=EventNameFilter(name=[HEARTBEAT]),
        resource=EventResourceFilter(id=[f"prefect.flow-run.{run.id}"]),
        occurred=EventOccurredFilter(since=since),
    )
    return bool(client.read_events(filter=wanted, limit=1).events)


def _unused_limit(client: SyncPrefectClient) -> Iterator[str]:
    """Tell of the limit that an older bootstrap made; it may have become somebody else's, so it stays."""
    from prefect.exceptions import ObjectNotFound

    try:
        client.read_global_concurrency_limit_by_name("gpu")
    except ObjectNotFound:
        return
    yield (
        "concurrency limit gpu: trainings no longer ask for it, the pool's own limit guards the card; remove it "
        "unless other flows of yours use it: prefect gcl delete gpu"
    )
