"""Training on another machine: a worker with its own folders finds its work in the shared store, and nothing of this machine's paths."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from flows.config_file import read_config
from flows.sources import locate
from schemas.orders import TrainOrder
from tasks.base.task import fetch_base
from tasks.data.task import check_rendering, validate_data
from tests.flows.conftest import ROOT, small_config, write_rows

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]
BUCKET = "team"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A Prefect server and an S3 server, as a team has them: the environment that every machine shares."""
    import s3fs
    from moto.server import ThreadedMotoServer

    folder, port = tmp_path_factory.mktemp("server"), free_port()
    storage = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    storage.start()
    host, storage_port = storage.get_host_and_port()
    shared = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_", "TUNEWORTHY_"))},
        "PYTHONPATH": str(ROOT),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "TUNEWORTHY_STORE": f"s3://{BUCKET}/store",
        "AWS_ENDPOINT_URL": f"http://{host}:{storage_port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    settings = {"endpoint_url": shared["AWS_ENDPOINT_URL"], "region_name": "us-east-1"}
    s3fs.S3FileSystem(key="test", secret="test", client_kwargs=settings).call_s3("create_bucket", Bucket=BUCKET)
    with (folder / "server.log").open("w") as log:
        command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)]
        server = subprocess.Popen(command, env={**shared, "PREFECT_HOME": str(folder)}, stdout=log, stderr=log)
        try:
            wait_for(port)
            yield shared
        finally:
            server.terminate()
            server.wait(timeout=30)
            storage.stop()


def wait_for(port: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise TimeoutError(f"nothing answers on port {port}")


def wait_for_worker(api: str) -> None:
    """Wait until the gpu pool has a worker that its server calls online."""
    until = time.monotonic() + 90
    while time.monotonic() < until:
        workers = httpx.post(f"{api}/work_pools/gpu/workers/filter", json={}).json()
        if any(worker["status"] == "ONLINE" for worker in workers):
            return
        time.sleep(0.5)
    raise TimeoutError("the worker did not come online")


def on_machine(team: dict[str, str], folder: Path) -> dict[str, str]:
    """Return the environment of one machine of the team: its own home, Prefect home and copies."""
    folder.mkdir(exist_ok=True)
    return {**team, "HOME": str(folder), "PREFECT_HOME": str(folder / "prefect"), "TUNEWORTHY_CACHE": str(folder / "copies"), "TMPDIR": str(folder)}


def run(command: list[str], environment: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *command], env=environment, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


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


def test_without_a_deployment_or_a_worker_it_says_so_at_once_and_with_one_it_trains_there(team: dict[str, str], small_run: Path, tmp_path: Path) -> None:
    here, there = on_machine(team, tmp_path / "here"), on_machine(team, tmp_path / "there")
    ordered = run(["flows.cli", "run", str(small_run), "--json"], here, tmp_path)
    assert (ordered.returncode, "there is no deployment 'train/gpu'" in ordered.stderr) == (5, True), ordered.stderr

    assert run(["flows.cli", "bootstrap"], here, tmp_path).returncode == 0
    assert "made" not in run(["flows.cli", "bootstrap"], here, tmp_path).stdout
    deployed = run(["prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(ROOT / "prefect.yaml")], here, ROOT)
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    ordered = run(["flows.cli", "run", str(small_run), "--json"], here, tmp_path)
    assert (ordered.returncode, "no healthy worker serves pool 'gpu'" in ordered.stderr) == (5, True), ordered.stderr

    with (tmp_path / "worker.log").open("w") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "prefect", "worker", "start", "--pool", "gpu"], env=there, cwd=tmp_path / "there", stdout=log, stderr=log
        )
    try:
        wait_for_worker(team["PREFECT_API_URL"])
        ordered = run(["flows.cli", "run", str(small_run), "--json"], here, tmp_path)
    finally:
        worker.terminate()
        worker.wait(timeout=60)
    assert ordered.returncode == 0, ordered.stderr + (tmp_path / "worker.log").read_text()
    assert "training was sent to train/gpu" in ordered.stderr
    assert [arm["arm"] for arm in json.loads(ordered.stdout)["verdict"]["arms"]][-1] == "tuned_retrieval"
    assert not list((tmp_path / "here" / "copies").glob("*/benches/train_adapter-*")), "the training ran here"
    assert list((tmp_path / "there" / "copies").glob("*/records/train_adapter/*.json")), "the training did not run there"


def test_an_order_holds_no_path_of_this_machine(small_run: Path, tiny_model: Path, tmp_path: Path) -> None:
    config = read_config(small_run)
    sources = locate(config)
    data = validate_data(config.task, config.data, config.seed, sources.data)
    base = fetch_base(sources.base)
    rendering = check_rendering(config.task, base, data, config.training.max_length)
    order = TrainOrder(run="small", training=config.training, task=config.task, rendering=rendering, base=base, data=data, arms=config.arms, seed=1)
    text = order.model_dump_json()
    assert data.digest in text
    assert str(tmp_path) not in text
    assert str(tiny_model) not in text
