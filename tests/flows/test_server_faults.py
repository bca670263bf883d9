"""A Prefect server that goes away in the middle of a run, and signals that end one at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

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


def heeding_signals() -> None:
    """Undo what nohup, or a shell that starts a job in the background, hands on: signals that are ignored."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.parametrize(
    ("number", "is_group", "code"),
    [(signal.SIGINT, True, 130), (signal.SIGTERM, True, 143), (signal.SIGTERM, False, 143), (signal.SIGHUP, True, 129)],
)
def test_a_run_that_a_signal_ends_leaves_at_once_with_its_code_and_its_checkpoint(
    small: Path, tmp_path: Path, number: signal.Signals, is_group: bool, code: int
) -> None:
    config = yaml.safe_load(small.read_text())
    config["training"] |= {"epochs": 1000, "patience": 1000, "checkpoint_minutes": 0.001}
    config["arms"] |= {"untrained": ["prompt"], "trained": ["tuned"]}
    small.write_text(yaml.safe_dump(config))
    store = tmp_path / "store"
    names = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
    run = subprocess.Popen(
        [sys.executable, "-m", "flows.command_line.main", "run", str(small), "--json"],
        env={**names, "PYTHONPATH": str(ROOT), "TUNEWORTHY_STORE": str(store), "PREFECT_HOME": str(tmp_path / "home")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heeding_signals,
    )
    wait_until(lambda: any(store.glob("work/train_adapter-*/checkpoints/*")) or run.poll() is not None, seconds=200)
    (os.killpg if is_group else os.kill)(run.pid, number)
    told = time.monotonic()
    answer, said = run.communicate(timeout=60)
    assert time.monotonic() - told < 15, said  # 5 s on an idle machine
    assert run.returncode == code, said
    assert json.loads(answer)["exit_code"] == code
    assert "Traceback" not in said
    assert any(store.glob("work/train_adapter-*/checkpoints/*"))
