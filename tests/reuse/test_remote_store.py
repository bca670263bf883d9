"""A store behind a URL, against a real S3 server on this machine: shared by two machines, checked, locked, and honest
when it is down.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.artifacts import ReportArtifact
from schemas.errors import ArtifactBroken, TransientFault
from tasks.reuse import locks
from tasks.reuse.current_store import current_store
from tasks.reuse.remote_store import RemoteStore
from tests.reuse.counting_stage import count_letters, measure_letters
from tests.reuse.faulty_storage import FaultyStorage

COUNT = "from tests.reuse.counting_stage import count_letters; print(count_letters('shared', {}).digest)"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A real S3 server (moto's) on a free port."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def machine(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], RemoteStore]:
    """Become a machine with a name: an own folder of copies, the bucket shared with the others."""
    settings = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    bucket = f"b{abs(hash(str(tmp_path))):x}"
    monkeypatch.setenv("TUNEWORTHY_STORE", f"s3://{bucket}/team")
    monkeypatch.setenv("COUNTING_STAGE_MARKS", str(tmp_path / "marks"))

    def become(name: str) -> RemoteStore:
        monkeypatch.setenv("TUNEWORTHY_CACHE", str(tmp_path / name))
        RemoteStore.at.cache_clear()
        store = current_store()
        assert isinstance(store, RemoteStore)
        return store

    become("maker").fs.call_s3("create_bucket", Bucket=bucket)
    return become


@pytest.fixture
def faulty(
    endpoint: str, machine: Callable[[str], RemoteStore], monkeypatch: pytest.MonkeyPatch
) -> Iterator[FaultyStorage]:
    """The same storage behind a door that can be made to answer badly."""
    storage = FaultyStorage(endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL", storage.url)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    yield storage
    storage.close()


def runs() -> int:
    path = Path(os.environ["COUNTING_STAGE_MARKS"])
    return len(path.read_text().split()) if path.exists() else 0


def remote_file(store: RemoteStore, artifact: ReportArtifact, name: str = "letters.txt") -> str:
    return f"{store.prefix}/artifacts/{artifact.digest}/{name}"


@pytest.mark.slow
def test_what_one_machine_sealed_is_a_hit_on_another(machine: Callable[[str], RemoteStore]) -> None:
    machine("one")
    first = count_letters("shared", {"times": 4})
    store = machine("two")
    assert count_letters("shared", {"times": 4}) == first
    assert (store.open(first.digest) / "letters.txt").read_text() == "shared" * 4
    assert runs() == 1


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["truncate", "delete", "manifest"])
def test_a_damaged_remote_artifact_is_a_miss_on_every_machine(
    machine: Callable[[str], RemoteStore], damage: str
) -> None:
    first = count_letters(f"damage {damage}", {})
    store = machine("two")
    if damage == "truncate":
        store.fs.pipe_file(remote_file(store, first), b"dam")
    else:
        store.fs.rm_file(remote_file(store, first, "manifest.json" if damage == "manifest" else "letters.txt"))
    assert count_letters(f"damage {damage}", {}) == first
    assert runs() == 2


@pytest.mark.slow
def test_a_flipped_bit_is_never_handed_on_and_the_next_try_mends_it(machine: Callable[[str], RemoteStore]) -> None:
    first = count_letters("flip", {})
    store = machine("two")
    store.fs.pipe_file(remote_file(store, first), b"flop")
    with pytest.raises(ArtifactBroken):
        measure_letters(first)
    assert measure_letters(count_letters("flip", {})).headline == "size"
    assert runs() == 2


def test_a_storage_that_is_down_is_a_transient_fault_that_names_it(
    machine: Callable[[str], RemoteStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{unused.getsockname()[1]}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    store = machine("cut off")
    store.fs.retries = 1
    with pytest.raises(TransientFault, match="s3://"):
        count_letters("down", {})
    assert runs() == 0


@pytest.mark.slow
def test_two_machines_with_one_key_run_it_once(machine: Callable[[str], RemoteStore], tmp_path: Path) -> None:
    machine("one")
    both = [
        subprocess.Popen(
            [sys.executable, "-c", COUNT],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TUNEWORTHY_CACHE": str(tmp_path / f"machine {number}"), "COUNTING_STAGE_SECONDS": "2"},
        )
        for number in range(2)
    ]
    answers = {process.communicate(timeout=90)[0] for process in both}
    assert len(answers) == 1
    assert runs() == 1


@pytest.mark.slow
def test_a_killed_owner_is_taken_over(
    machine: Callable[[str], RemoteStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "EXPIRY", 3.0)
    store = machine("one")
    environment: dict[str, Any] = {
        **os.environ,
        "TUNEWORTHY_CACHE": str(tmp_path / "other"),
        "COUNTING_STAGE_SECONDS": "60",
    }
    owner = subprocess.Popen([sys.executable, "-c", COUNT], env=environment)
    while not store.fs.find(f"{store.prefix}/locks"):
        time.sleep(0.1)
    owner.kill()
    owner.wait()
    started = time.monotonic()
    count_letters("shared", {})
    assert 2.0 < time.monotonic() - started < 15.0
    assert store.fs.find(f"{store.prefix}/locks") == []


@pytest.mark.slow
def test_a_storage_that_answers_500_now_and_then_costs_nothing(
    machine: Callable[[str], RemoteStore], faulty: FaultyStorage
) -> None:
    store = machine("one")
    for number in range(3):
        faulty.errors = 1
        first = count_letters("now and then", {"times": number})
        assert (store.open(first.digest) / "letters.txt").read_text() == "now and then" * number
    assert runs() == 3


@pytest.mark.slow
def test_a_storage_that_answers_500_for_long_is_a_transient_fault_and_the_next_try_takes_up_what_was_done(
    machine: Callable[[str], RemoteStore], faulty: FaultyStorage
) -> None:
    store = machine("one")
    store.fs.retries = 1
    first = count_letters("before", {})
    faulty.is_down = True
    with pytest.raises(TransientFault, match="did not answer"):
        count_letters("before", {})
    with pytest.raises(TransientFault, match="did not answer"):
        count_letters("during", {})
    faulty.is_down = False
    assert count_letters("before", {}) == first
    assert count_letters("during", {}).headline == "during"
    assert runs() == 2


@pytest.mark.slow
def test_a_slow_storage_gives_the_same_answers(machine: Callable[[str], RemoteStore], faulty: FaultyStorage) -> None:
    machine("one")
    faulty.delay = 0.1
    first = measure_letters(count_letters("slow", {}))
    machine("two")
    assert measure_letters(count_letters("slow", {})) == first
    assert runs() == 1


@pytest.mark.slow
def test_a_storage_with_stale_lists_hides_nothing_that_was_sealed(
    machine: Callable[[str], RemoteStore], faulty: FaultyStorage
) -> None:
    store = machine("one")
    faulty.is_stale = True
    assert store.names("artifacts") == []  # from now on every listing says that there is nothing
    first = count_letters("stale", {})
    assert store.names("artifacts") == []
    other = machine("two")
    assert count_letters("stale", {}) == first
    assert (other.open(first.digest) / "letters.txt").read_text() == "stale"
    assert runs() == 1


@pytest.mark.slow
def test_a_process_that_is_told_to_end_gives_its_lease_back(
    machine: Callable[[str], RemoteStore], tmp_path: Path
) -> None:
    store = machine("one")
    environment: dict[str, Any] = {
        **os.environ,
        "TUNEWORTHY_CACHE": str(tmp_path / "other"),
        "COUNTING_STAGE_SECONDS": "60",
    }
    owner = subprocess.Popen(
        [sys.executable, "-c", f"from flows.command_line.main import end_on_signals; end_on_signals(); {COUNT}"],
        env=environment,
    )
    while not store.fs.find(f"{store.prefix}/locks"):
        time.sleep(0.1)
    owner.terminate()
    assert owner.wait(timeout=30) == 128 + 15
    assert store.fs.find(f"{store.prefix}/locks") == []
    started = time.monotonic()
    count_letters("shared", {})
    assert time.monotonic() - started < 5
