"""history, status, serve and chat as a person types them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from unittest.mock import patch

import pytest

from flows.command_line.main import main
from tests.before_registry import MODEL, Made, a_comparison, a_verdict
from tests.random_adapter import sealed_adapter
from tests.registry.conftest import made, registry_store  # noqa: F401 - fixtures

pytestmark = pytest.mark.slow


@pytest.fixture
def two(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Made:  # noqa: F811
    monkeypatch.setenv("TUNEWORTHY_STORE", str(made.store.root))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    made.register(a_verdict(0.85))
    other = sealed_adapter(made.store, made.base, tmp_path / "other", seed=2)
    made.register(a_verdict(0.9), other, comparison=a_comparison("better"))
    return made


def test_history_tells_every_move_in_order(two: Made, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["history", MODEL]) == 0
    first, _, second, why = capsys.readouterr().out.splitlines()
    assert "version 1 became champion, score 0.850 (0.800 to 0.900), by a run" in first
    assert "version 2 became champion, in place of version 1, score 0.900" in second
    assert why.strip() == "tuned is better"
    assert main(["history", MODEL, "--json"]) == 0
    assert [move["version"] for move in json.loads(capsys.readouterr().out)["moves"]] == ["1", "2"]
    assert main(["history", "nobody"]) == 2
    assert f"There is no model nobody. Registered are: {MODEL}." in capsys.readouterr().err


def test_status_is_one_screen_and_asks_mlflow_only_where_something_changed(
    two: Made, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["status"]) == 0
    shown = capsys.readouterr().out
    assert f"{MODEL}: version 2 since 20" in shown
    assert "score 0.900 (0.850 to 0.950)" in shown
    assert "PREFECT_API_URL names no server" in shown
    assert two.store.address in shown
    with patch("tasks.registry.audit.open_registry", side_effect=AssertionError("MLflow was loaded")):
        assert main(["status", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["models"][0]["champion"] == "2"
    assert found["store"]["bytes"] > 0


def test_servers_that_do_not_answer_are_said_and_the_rest_is_shown(
    two: Made, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert main(["status"]) == 0
    shown = capsys.readouterr().out
    assert "Prefect at http://127.0.0.1:9/api does not answer" in shown
    assert "version 2" in shown


def test_chat_answers_line_by_line_as_the_version_does(
    two: Made, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("which states border texas?\n\nwhich states border texas?\n"))
    assert main(["chat", MODEL]) == 0
    out, err = capsys.readouterr()
    first, second = out[: len(out) // 2], out[len(out) // 2 :]
    assert first == second  # an empty line begins anew
    assert first.strip()
    assert f"{MODEL} version 2" in err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["--host", "0.0.0.0"], "others can reach it, so --token env:VARIABLE"),
        (["--token", "hunter2"], "name an environment variable that holds it"),
        (["--token", "env:NOT_SET_ANYWHERE"], "name an environment variable that holds it"),
        ([MODEL], "each may be given once"),
        (["x@"], "names no version"),
    ],
)
def test_serving_is_refused_before_a_model_is_loaded(
    line: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", MODEL, *line]) == 2
    assert said in capsys.readouterr().err
    assert "hunter2" not in capsys.readouterr().err
