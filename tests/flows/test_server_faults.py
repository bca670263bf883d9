"""A Prefect server that goes away in the middle of a run and comes back: the run goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flows.conftest import ROOT
from tests.flows.team import free_port, prefect_server, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.long
def test_a_run_goes_on_when_its_server_was_killed_and_started_again(small: Path, tmp_path: Path) -> None:
    port, home, store = free_port(), tmp_path / "server", tmp_path / "store"
    home.mkdir()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))},
        "PYTHONPATH": str(ROOT),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "TUNEWORTHY_STORE": str(store),
    }
    with prefect_server(port, home, environment) as server:
        run = subprocess.Popen(
            [sys.executable, "-m", "flows.command_line.main", "run", str(small), "--json"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_until(lambda: any((store / "records").glob("fetch_base/*.json")))
        server.send_signal(signal.SIGKILL)
        server.wait(timeout=30)
    with prefect_server(port, home, environment):
        answer, told = run.communicate(timeout=240)
    assert run.returncode == 0, told
    assert len(json.loads(answer)["verdict"]["arms"]) == 5
