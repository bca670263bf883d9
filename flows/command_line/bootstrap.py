"""`tuneworthy bootstrap`: what a Prefect server needs once. Running it twice changes nothing.

Creates the work pools cpu and gpu (the gpu pool takes one run at a time), the global concurrency limit of the GPU, and
the automation that marks runs of dead workers as Crashed: a self-hosted server leaves them Running for ever (workers
have to send heartbeats: PREFECT_FLOWS_HEARTBEAT_FREQUENCY=30).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from schemas.errors import MachineLacks

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

AUTOMATION = "tuneworthy: runs of dead workers crash"
SILENCE = timedelta(seconds=90)  # three missed heartbeats
SIGNS_OF_LIFE = ("heartbeat", "Completed", "Failed", "Cancelled", "Crashed", "Suspended")


def bootstrap(arguments: argparse.Namespace) -> int:
    """Set up the Prefect server that PREFECT_API_URL names.

    Raises:
        MachineLacks: no server is named; the temporary server of a run would end with it.
    """
    if not os.environ.get("PREFECT_API_URL"):
        raise MachineLacks(
            "bootstrap: PREFECT_API_URL is not set. Start a server (prefect server start) and set "
            "PREFECT_API_URL=http://127.0.0.1:4200/api."
        )
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        for line in (*_pools(client, arguments.gpu_slots), _gpu_limit(client, arguments.gpu_slots)):
            print(line)
    print(_crash_automation())
    return 0


def _pools(client: SyncPrefectClient, gpu_slots: int) -> Iterator[str]:
    from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
    from prefect.exceptions import ObjectNotFound

    for name, limit in (("cpu", None), ("gpu", gpu_slots)):
        try:
            found = client.read_work_pool(name)
        except ObjectNotFound:
            client.create_work_pool(WorkPoolCreate(name=name, type="process", concurrency_limit=limit))
            yield f"work pool {name}: created"
            continue
        if limit is not None and found.concurrency_limit != limit:
            client.update_work_pool(name, WorkPoolUpdate(concurrency_limit=limit))
            yield f"work pool {name}: limit {found.concurrency_limit} -> {limit}"
        else:
            yield f"work pool {name}: exists"


def _gpu_limit(client: SyncPrefectClient, slots: int) -> str:
    from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, GlobalConcurrencyLimitUpdate
    from prefect.exceptions import ObjectNotFound

    try:
        found = client.read_global_concurrency_limit_by_name("gpu")
    except ObjectNotFound:
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name="gpu", limit=slots))
        return "concurrency limit gpu: created"
    if found.limit == slots:
        return "concurrency limit gpu: exists"
    client.update_global_concurrency_limit("gpu", GlobalConcurrencyLimitUpdate(limit=slots))
    return f"concurrency limit gpu: {found.limit} -> {slots}"


def _crash_automation() -> str:
    from prefect.automations import Automation
    from prefect.client.schemas.objects import StateType
    from prefect.events.actions import ChangeFlowRunState
    from prefect.events.schemas.automations import EventTrigger, Posture

    try:
        Automation.read(name=AUTOMATION)  # type: ignore[unused-coroutine]  # outside a loop it is done at once
    except ValueError:
        trigger = EventTrigger(
            after={"prefect.flow-run.heartbeat"},
            expect={f"prefect.flow-run.{sign}" for sign in SIGNS_OF_LIFE},
            match={"prefect.resource.id": "prefect.flow-run.*"},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=SILENCE,
        )
        action = ChangeFlowRunState(state=StateType.CRASHED, message="The worker's heartbeats stopped.")
        Automation(name=AUTOMATION, trigger=trigger, actions=[action]).create()
        return f"automation {AUTOMATION!r}: created"
    return f"automation {AUTOMATION!r}: exists"
