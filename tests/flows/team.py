"""A team on one machine: a Prefect server, an S3 server, and machines with folders of their own."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil

from tests.flows.conftest import ROOT

BUCKET = "team"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def servers(folder: Path) -> Iterator[dict[str, str]]:
    """A Prefect server and an S3 server, as a team has them: gives the environment that every machine shares."""
    import s3fs
    from moto.server import ThreadedMotoServer

    port = free_port()
    storage = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    storage.start()
    host, storage_port = storage.get_host_and_port()
    shared = {
        **{
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PREFECT_", "MLFLOW_", "TUNEWORTHY_"))
        },
        "PYTHONPATH": str(ROOT),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "TUNEWORTHY_STORE": f"s3://{BUCKET}/store",
        "AWS_ENDPOINT_URL": f"http://{host}:{storage_port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
    }
    settings = {"endpoint_url": shared["AWS_ENDPOINT_URL"], "region_name": "us-east-1"}
    s3fs.S3FileSystem(key="test", secret="test", client_kwargs=settings).call_s3("create_bucket", Bucket=BUCKET)
    with prefect_server(port, folder, shared):
        try:
            yield shared
        finally:
            storage.stop()


@contextlib.contextmanager
def prefect_server(port: int, folder: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Prefect server whose database lies in `folder`, until the block ends."""
    with (folder / "server.log").open("a") as log:
        command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)]
        server = subprocess.Popen(command, env={**environment, "PREFECT_HOME": str(folder)}, stdout=log, stderr=log)
        try:
            wait_for(port)
            yield server
        finally:
            server.terminate()
            server.wait(timeout=30)


def wait_for(port: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise TimeoutError(f"nothing answers on port {port}")


def wait_for_worker(api: str, pool: str) -> None:
    """Wait until a pool has a worker that its server calls online."""
    until = time.monotonic() + 90
    while time.monotonic() < until:
        workers = httpx.post(f"{api}/work_pools/{pool}/workers/filter", json={}).json()
        if any(worker["status"] == "ONLINE" for worker in workers):
            return
        time.sleep(0.5)
    raise TimeoutError("the worker did not come online")


def on_machine(team: dict[str, str], folder: Path) -> dict[str, str]:
    """Return the environment of one machine of the team: its own home, Prefect home and copies."""
    folder.mkdir(exist_ok=True)
    return {
        **team,
        "HOME": str(folder),
        "PREFECT_HOME": str(folder / "prefect"),
        "TUNEWORTHY_CACHE": str(folder / "copies"),
        "TMPDIR": str(folder),
    }


def run(command: list[str], environment: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@contextlib.contextmanager
def pool_worker(pool: str, environment: dict[str, str], folder: Path) -> Iterator[psutil.Process]:
    """Run a worker of a pool on a machine until the block ends; its log is worker.log."""
    with (folder / "worker.log").open("w") as log:
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool]
        worker = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
        try:
            wait_for_worker(environment["PREFECT_API_URL"], pool)
            yield psutil.Process(worker.pid)
        finally:
            worker.terminate()
            worker.wait(timeout=60)


def wait_until(happened: Callable[[], bool], seconds: float = 120) -> None:
    """Wait until something has happened."""
    until = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > until:
            raise TimeoutError(f"it did not happen in {seconds:g} s")
        time.sleep(0.1)
