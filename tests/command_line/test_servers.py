"""Servers are asked before a run and by `doctor`; an address alone is not believed."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from flows.command_line.main import main
from flows.inputs.servers import mlflow_fault, prefect_fault, require_servers
from schemas.errors import MachineLacks
from tasks.reuse.planning import Plan, PlannedStage

DEAD = "http://127.0.0.1:9"


@pytest.fixture
def other_server() -> Iterator[str]:
    """A server that knows nothing of Prefect."""

    class Nothing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404 if "admin" in self.path else 200)
            self.end_headers()

        def log_message(self, *parts: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Nothing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"{DEAD}/api", "the Prefect server does not answer"),
        ("127.0.0.1:4200", "write it as http://127.0.0.1:4200/api"),
        ("ftp://127.0.0.1:4200/api", "write it as http://127.0.0.1:4200/api"),
        ("http://[::1/api", "does not answer"),
    ],
)
def test_a_prefect_server_that_cannot_be_used_is_said_with_where_its_address_comes_from(
    monkeypatch: pytest.MonkeyPatch, url: str, said: str
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", url)
    fault = prefect_fault()
    assert fault is not None
    assert fault.startswith(f"PREFECT_API_URL={url}")
    assert said in fault


def test_what_answers_in_prefects_place_is_not_taken_for_it(monkeypatch: pytest.MonkeyPatch, other_server: str) -> None:
    monkeypatch.setenv("PREFECT_API_URL", other_server)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", other_server)
    assert "no Prefect API (HTTP 404)" in str(prefect_fault())
    assert mlflow_fault() is None


def test_an_mlflow_of_another_schema_is_told_with_the_command_that_upgrades_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, migrated_database: Path
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{migrated_database}")
    assert mlflow_fault() is None
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'new.db'}")
    assert mlflow_fault() is None
    with sqlite3.connect(tmp_path / "old.db") as database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
        database.execute("INSERT INTO alembic_version VALUES ('181f10493468')")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'old.db'}")
    assert f"`mlflow db upgrade sqlite:///{tmp_path / 'old.db'}`" in str(mlflow_fault())


def test_doctor_leaves_with_5_where_servers_do_not_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", f"{DEAD}/api")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    assert main(["doctor", "--json"]) == 5
    told = capsys.readouterr().out
    found = {one["name"]: one for one in json.loads(told)["findings"]}
    assert not found["prefect"]["is_fine"]
    assert not found["mlflow"]["is_fine"]
    assert "secret" not in told


def test_a_run_that_has_all_but_mlflows_part_is_not_held_up_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DEAD)
    last, arm = PlannedStage("track_verdict", "will run", ""), PlannedStage("score_arm[prompt]", "will run", "")
    require_servers(Plan(stages=[last]))
    with pytest.raises(MachineLacks, match="MLflow server does not answer"):
        require_servers(Plan(stages=[last, arm]))
