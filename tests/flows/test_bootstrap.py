"""What `tuneworthy bootstrap` sets up on a real Prefect server, and what it brings up to date."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from prefect import flow
from prefect.automations import Automation
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.runtime import flow_run
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Pending, Running

from flows.command_line import bootstrap as bootstrapping
from flows.worker.dispatch import _say, _standing
from tests.before_registry import listening
from tests.flows.conftest import ROOT
from tests.flows.team import free_port, pool_worker, prefect_server, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(300)]


@contextlib.contextmanager
def server(folder: Path, port: int) -> Iterator[tuple[dict[str, str], SyncPrefectClient, subprocess.Popen[bytes]]]:
    """A Prefect server on the database in `folder`: the environment that names it, a client of it, and its process."""
    folder.mkdir(exist_ok=True)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
        "PYTHONPATH": str(ROOT),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY": "PT1S",
    }
    with (
        prefect_server(port, folder, environment) as process,
        temporary_settings({PREFECT_API_URL: environment["PREFECT_API_URL"]}),
        get_client(sync_client=True) as client,
    ):
        yield environment, client, process


@pytest.fixture
def bootstrapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[dict[str, str], SyncPrefectClient]]:
    """A server that bootstrap has set up with the shortest silence that Prefect takes."""
    monkeypatch.setattr(bootstrapping, "SILENCE", timedelta(seconds=10))
    with server(tmp_path / "server", free_port()) as (environment, client, _):
        monkeypatch.setenv("PREFECT_API_URL", environment["PREFECT_API_URL"])
        assert bootstrap() == 0
        yield environment, client


def bootstrap() -> int:
    return bootstrapping.bootstrap(argparse.Namespace(gpu_slots=1))


def deployed(client: SyncPrefectClient, name: str, tags: list[str], pool: str = "cpu") -> UUID:
    """Deploy the flow of tests/flows/sleeping_flow.py as prefect.yaml deploys ours."""
    made = client.create_flow_from_name("sleep")
    entrypoint = "tests.flows.sleeping_flow.sleep"
    return client.create_deployment(
        made, name, work_pool_name=pool, entrypoint=entrypoint, tags=tags, pull_steps=[], enforce_parameter_schema=False
    )


def state_of(client: SyncPrefectClient, run: FlowRun) -> StateType:
    state = client.read_flow_run(run.id).state
    assert state is not None
    return state.type


def test_a_run_of_ours_that_falls_silent_is_marked_crashed_and_nobody_elses(
    bootstrapped: tuple[dict[str, str], SyncPrefectClient], tmp_path: Path
) -> None:
    environment, client = bootstrapped
    notes = {"theirs": tmp_path / "theirs", "ours": tmp_path / "ours"}
    tags = {"theirs": ["another-team"], "ours": ["tuneworthy"]}
    # A worker's own environment must not matter: this one's is Prefect's default.
    environment |= {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "180"}
    with pool_worker("cpu", environment, tmp_path) as worker:
        runs = {}
        for who, note in notes.items():  # theirs first, so that it would be found silent first as well
            deployment = deployed(client, who, tags[who])
            runs[who] = client.create_flow_run_from_deployment(deployment, parameters={"note": str(note)})
            wait_until(note.exists)
            wait_until(lambda run=runs[who]: bootstrapping._has_heartbeat(client, run, run.created))
        assert [note.read_text() for note in notes.values()] == [str(bootstrapping.HEARTBEAT_SECONDS)] * 2
        for process in [worker, *worker.children(recursive=True)]:  # the machine is gone, and says nothing any more
            process.send_signal(signal.SIGKILL)
    wait_until(lambda: state_of(client, runs["ours"]) is StateType.CRASHED)
    assert state_of(client, runs["theirs"]) is StateType.RUNNING
    assert [is_sign_of_life(client, run) for run in runs.values()] == [False, True]


def is_sign_of_life(client: SyncPrefectClient, run: FlowRun) -> bool:
    """Tell whether the server takes a run's heartbeat for one that the automation waits for."""
    wanted = EventFilter(
        event=EventNameFilter(name=[bootstrapping.HEARTBEAT]),
        resource=EventResourceFilter(id=[f"prefect.flow-run.{run.id}"]),
    )
    heartbeat = client.read_events(filter=wanted, limit=1).events[0]
    from prefect.server.events.schemas.automations import EventTrigger as ServerTrigger
    from prefect.server.events.schemas.events import ReceivedEvent

    trigger = ServerTrigger.model_validate(bootstrapping._silence_of_ours().model_dump(mode="json"))
    return trigger.covers(ReceivedEvent.model_validate(heartbeat.model_dump(mode="json")))


def test_three_heartbeats_fit_into_the_silence_that_is_taken_for_death() -> None:
    assert timedelta(seconds=3 * bootstrapping.HEARTBEAT_SECONDS) <= bootstrapping.SILENCE


def test_what_an_older_bootstrap_made_is_repaired_in_words_and_then_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with server(tmp_path / "server", free_port()) as (environment, client, _):
        monkeypatch.setenv("PREFECT_API_URL", environment["PREFECT_API_URL"])
        client.create_work_pool(WorkPoolCreate(name="gpu", type="process", concurrency_limit=1))
        template = bootstrapping._process_template()
        template["variables"]["properties"]["env"]["default"] = {"OURS": "kept"}
        client.create_work_pool(
            WorkPoolCreate(name="cpu", type="process", concurrency_limit=7, base_job_template=template)
        )
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name="gpu", limit=1, active_slots=1))
        everybodys = EventTrigger(
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.heartbeat"},
            match={"prefect.resource.id": "prefect.flow-run.*"},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=90),
        )
        action = ChangeFlowRunState(state=StateType.CRASHED, message="The worker's heartbeats stopped.")
        Automation(name=bootstrapping.AUTOMATION, trigger=everybodys, actions=[action]).create()

        assert bootstrap() == 0
        told = capsys.readouterr().out
        assert told.count("its runs send a heartbeat every 30 s") == 2
        assert "looks at runs tagged 'tuneworthy' only" in told
        assert "prefect gcl delete gpu" in told
        cpu, gpu = client.read_work_pool("cpu"), client.read_work_pool("gpu")
        assert cpu.base_job_template["variables"]["properties"]["env"]["default"] == {
            "OURS": "kept",
            "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        }
        assert (cpu.concurrency_limit, gpu.concurrency_limit) == (7, 1)
        assert Automation.read(name=bootstrapping.AUTOMATION).trigger.match_related  # type: ignore[attr-defined]

        assert bootstrap() == 0
        again = capsys.readouterr().out.splitlines()
        assert [line.endswith(": exists") for line in again] == [True, True, True, False]


def test_a_place_on_the_card_outlives_the_server_and_is_free_when_its_run_ends(tmp_path: Path) -> None:
    port = free_port()
    with server(tmp_path / "server", port) as (_, client, process):
        client.create_work_pool(WorkPoolCreate(name="gpu", type="process", concurrency_limit=1))
        deployment = deployed(client, "train", ["tuneworthy"], "gpu")
        first, second = (client.create_flow_run_from_deployment(deployment, name=name) for name in ("first", "second"))
        for state in (Pending(), Running()):
            client.set_flow_run_state(first.id, state)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
    with server(tmp_path / "server", port) as (_, client, _process):

        def given() -> list[str]:
            """What a worker that asks for work gets."""
            found = client.get_scheduled_flow_runs_for_work_pool("gpu", scheduled_before=datetime.now(UTC))
            return [answer.flow_run.name for answer in found]

        assert given() == []
        waiting = client.read_flow_run(second.id)
        assert waiting.state is not None
        assert _standing(client, waiting, waiting.state) == (
            f"waits for the card: pool gpu runs 1 at a time, now first ({first.id})"
        )
        client.set_flow_run_state(first.id, Completed())
        assert given() == ["second"]
        assert _standing(client, waiting, waiting.state) == "worker's run second: Scheduled"


def test_what_dispatch_says_is_heard_in_the_terminal_and_stands_in_the_flow_runs_log(
    bootstrapped: tuple[dict[str, str], SyncPrefectClient],
) -> None:
    heard: list[str] = []
    line = "waits for the card: pool gpu runs 1 at a time, now first"

    @flow(persist_result=False)
    def sending() -> UUID:
        with listening(heard):
            _say(line)
        return UUID(flow_run.id)

    mine = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[sending()]))
    wait_until(lambda: line in [log.message for log in bootstrapped[1].read_logs(log_filter=mine)])
    assert heard == [line]


def test_bootstrap_frees_a_place_whose_run_shows_no_life(
    bootstrapped: tuple[dict[str, str], SyncPrefectClient],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, client = bootstrapped
    deployment, foreign = deployed(client, "train", ["tuneworthy"], "gpu"), deployed(client, "other", [], "gpu")
    lost, theirs = (client.create_flow_run_from_deployment(made, state=Pending()) for made in (deployment, foreign))
    client.update_work_pool("gpu", WorkPoolUpdate(concurrency_limit=1))
    assert bootstrap() == 0
    assert state_of(client, lost) is StateType.PENDING  # it may yet begin
    monkeypatch.setattr(bootstrapping, "LOST_AFTER", timedelta())
    capsys.readouterr()
    assert bootstrap() == 0
    assert f"flow run {lost.name} ({lost.id}): Pending -> Crashed" in capsys.readouterr().out
    assert (state_of(client, lost), state_of(client, theirs)) == (StateType.CRASHED, StateType.PENDING)
