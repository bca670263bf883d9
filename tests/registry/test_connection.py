from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from schemas.errors import RegistryUnreachable
from tasks.registry.connection import open_registry
from tasks.reuse.store import ArtifactStore
from tests.before_registry import MODEL, Made, a_verdict, serving


def test_a_refused_connection_is_told_within_seconds_and_what_is_safe_is_named(made: Made) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{free.getsockname()[1]}"
    started = time.monotonic()
    with pytest.raises(RegistryUnreachable, match=uri) as refusal:
        made.track(a_verdict(0.85), destination=uri)
    assert time.monotonic() - started < 15
    assert "in the store" in str(refusal.value)
    assert "run the same command again" in str(refusal.value)


@pytest.mark.slow
def test_a_server_that_takes_the_connection_and_never_answers_is_given_up_within_15_seconds(made: Made) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(RegistryUnreachable):
            made.track(a_verdict(0.85), destination=f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert time.monotonic() - started < 15


@pytest.mark.parametrize("uri", ["nonsense://here", "http://user:secret@127.0.0.1:1", "sqlite:////proc/none/mlflow.db"])
def test_a_bad_address_is_told_without_its_password(uri: str, made: Made) -> None:
    with pytest.raises(RegistryUnreachable, match="MLFLOW_TRACKING_URI") as refusal:
        made.track(a_verdict(0.85), destination=uri)
    assert "secret" not in str(refusal.value)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_version_registered_over_http_loads_from_the_server(
    made: Made, migrated_database: Path, tmp_path: Path
) -> None:
    with serving(migrated_database, tmp_path / "server") as uri:
        version = made.register(a_verdict(0.85), destination=uri)
        line = (
            "import json, mlflow; "
            f"print(json.dumps(mlflow.pyfunc.load_model('models:/{MODEL}@champion').predict(['hi'])))"
        )
        environment = {
            **os.environ,
            "MLFLOW_TRACKING_URI": uri,
            "TUNEWORTHY_STORE": str(made.store.root),
            "PYTHONPATH": "",
        }
        done = subprocess.run(
            [sys.executable, "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
        )
    assert version.alias == "champion"
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout.splitlines()[-1])) == 1


def test_an_address_of_the_environment_does_not_outlive_it(
    registry_store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with open_registry("", registry_store, ""):
        pass
    assert mlflow.get_tracking_uri() == "http://127.0.0.1:9"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert not mlflow.is_tracking_uri_set()
