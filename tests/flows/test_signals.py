"""A run that is told to end does so at once, whoever is told: the process or its whole group, as a terminal tells it."""

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
from tests.flows.team import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


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
        env=names | {"PYTHONPATH": str(ROOT), "TUNEWORTHY_STORE": str(store), "PREFECT_HOME": str(tmp_path / "prefect")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
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
