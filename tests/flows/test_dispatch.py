"""Training on another machine: a worker with its own folders finds its work in the shared store, and nothing of this
machine's paths.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.states import Cancelled, Crashed, Failed

from flows.inputs.config_file import read_config
from flows.inputs.sources import locate
from flows.worker.dispatch import _fault_of
from schemas.errors import DatasetRefused, TrainingStopped, TransientFault
from schemas.orders import TrainOrder
from tasks.base.task import fetch_base
from tasks.benchmark.task import gather_benchmark
from tasks.data.task import check_rendering, validate_data
from tests.flows.conftest import ROOT, small_config, write_rows
from tests.flows.team import on_machine, pool_worker, run, servers, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory, migrated_database: Path) -> Iterator[dict[str, str]]:
    """What every machine of a team shares."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(migrated_database, folder / "mlflow.db")
    with servers(folder) as shared:
        yield shared


@pytest.fixture
def small_run(tmp_path: Path, tiny_model: Path) -> Path:
    """A config that sends its training away."""
    write_rows(tmp_path / "rows.jsonl")
    settings = small_config(tiny_model)
    settings["training"] |= {"where": "train/gpu", "without_worker": "fail"}
    settings["benchmark"]["limit"] = 3
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


def test_without_a_deployment_or_a_worker_it_says_so_at_once_and_with_one_it_trains_there(
    team: dict[str, str], small_run: Path, tmp_path: Path
) -> None:
    here, there = on_machine(team, tmp_path / "here"), on_machine(team, tmp_path / "there")
    ordered = run(["flows.command_line.main", "run", str(small_run), "--json"], here, tmp_path)
    assert (ordered.returncode, "there is no deployment 'train/gpu'" in ordered.stderr) == (5, True), ordered.stderr

    assert run(["flows.command_line.main", "bootstrap"], here, tmp_path).returncode == 0
    assert "created" not in run(["flows.command_line.main", "bootstrap"], here, tmp_path).stdout
    # What an older bootstrap and a server that restarted in mid-training left behind: a slot that nobody gives back.
    slot = ["--limit", "1", "--active-slots", "1"]
    assert run(["prefect", "gcl", "create", "gpu", *slot], here, tmp_path).returncode == 0
    deploy(here)
    ordered = run(["flows.command_line.main", "run", str(small_run), "--json"], here, tmp_path)
    assert (ordered.returncode, "no healthy worker serves pool 'gpu'" in ordered.stderr) == (5, True), ordered.stderr

    with pool_worker("gpu", there, tmp_path / "there"):
        ordered = run(["flows.command_line.main", "run", str(small_run), "--json"], here, tmp_path)
    assert ordered.returncode == 0, ordered.stderr + (tmp_path / "there" / "worker.log").read_text()
    assert "training was sent to train/gpu" in ordered.stderr
    assert [arm["arm"] for arm in json.loads(ordered.stdout)["verdict"]["arms"]][-1] == "tuned_retrieval"
    assert not list((tmp_path / "here" / "copies").glob("*/work/train_adapter-*")), "the training ran here"
    for stage in ("train_adapter", "benchmark_adapter"):
        assert list((tmp_path / "there" / "copies").glob(f"*/records/{stage}/*.json")), f"{stage} did not run there"


def deploy(machine: dict[str, str]) -> None:
    """Deploy prefect.yaml from a machine."""
    command = ["prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(ROOT / "prefect.yaml")]
    deployed = run(command, machine, ROOT)
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr


@pytest.mark.long
def test_a_worker_killed_in_mid_training_costs_a_try_and_the_next_one_goes_on(
    team: dict[str, str], small_run: Path, tmp_path: Path
) -> None:
    here, there = on_machine(team, tmp_path / "here"), on_machine(team, tmp_path / "there")
    assert run(["flows.command_line.main", "bootstrap"], here, tmp_path).returncode == 0
    deploy(here)
    settings = yaml.safe_load(small_run.read_text())
    settings["training"] |= {"epochs": 30, "patience": 1000, "checkpoint_minutes": 0.01}
    small_run.write_text(yaml.safe_dump(settings))
    with pool_worker("gpu", there, tmp_path / "there") as worker:
        command = [sys.executable, "-m", "flows.command_line.main", "run", str(small_run), "--json"]
        ordered = subprocess.Popen(
            command, env=here, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            wait_until(lambda: any((tmp_path / "there" / "copies").glob("*/work/train_adapter-*/checkpoints/step-*")))
            for process in worker.children(recursive=True):  # the flow run's; its worker lives on
                process.kill()
            answer, told = ordered.communicate(timeout=240)
        finally:
            ordered.kill()
    worker_log = (tmp_path / "there" / "worker.log").read_text()
    assert ordered.returncode == 0, told + worker_log
    assert "Try 2 of 4" in told
    assert "resumes after step" in worker_log
    assert [arm["arm"] for arm in json.loads(answer)["verdict"]["arms"]][-1] == "tuned_retrieval"


def test_an_order_holds_no_path_of_this_machine(small_run: Path, tiny_model: Path, tmp_path: Path) -> None:
    config = read_config(small_run)
    sources = locate(config)
    data = validate_data(config.task, config.data, config.seed, sources.data)
    base = fetch_base(sources.base)
    rendering = check_rendering(config.task, base, data, config.training.max_length)
    made = {"rendering": rendering, "base": base, "data": data, "benchmark": gather_benchmark(sources.benchmark)}
    settings = {"training": config.training, "task": config.task, "arms": config.arms, "stages": config.stages}
    order = TrainOrder(run="small", seed=1, asking=config.benchmark.asking(0.95), **settings, **made)
    text = order.model_dump_json()
    assert data.digest in text
    assert str(tmp_path) not in text
    assert str(tiny_model) not in text


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        (Crashed(message="Process exited with status code: -9"), TransientFault),
        (Cancelled(message="by a person"), TrainingStopped),
        (Failed(message="Flow run encountered an exception: DatasetRefused: rows are too long: 3, 9"), DatasetRefused),
        (Failed(message="Flow run encountered an exception: ConnectionError: reset by peer"), TransientFault),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_workers_end_means_here_what_it_meant_there(state: Any, kind: type[Exception]) -> None:
    assert _fault_of(state) is kind
