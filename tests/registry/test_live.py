"""Numbers go to MLflow while training goes on; whatever becomes of the server, training does not wait."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tasks.registry import live
from tasks.registry.live import BUFFERED, PATIENCE_AT_END, LiveCurve
from tests.before_registry import serving


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_numbers_reach_a_server_while_training_goes_on_and_its_death_costs_training_nothing(
    migrated_database: Path, tmp_path: Path
) -> None:
    with serving(migrated_database, tmp_path / "server") as uri:
        client, curve = MlflowClient(uri), LiveCurve(uri, "small")
        for step in range(1, 4):
            curve.measured(step, {"loss": 1 / step})
        history = _wait_for(lambda: _history(client, "small"), 3)
        assert [(metric.step, metric.value) for metric in history] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    started = time.monotonic()
    for step in range(4, 30_000):
        curve.measured(step, {"loss": 1 / step})
    assert time.monotonic() - started < 2
    curve.close()
    assert time.monotonic() - started < 2 + PATIENCE_AT_END + 1
    assert len(curve.waiting) <= BUFFERED


def test_a_server_that_was_never_there_is_not_noticed_by_who_measures() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        curve = LiveCurve(f"http://127.0.0.1:{free.getsockname()[1]}", "small")
    started = time.monotonic()
    for step in range(1000):
        curve.measured(step, {"loss": 1.0})
    assert time.monotonic() - started < 1


def test_what_a_server_did_not_take_is_sent_again_in_its_order_and_the_oldest_is_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    curve, taken = LiveCurve("http://nowhere", "small"), list[int]()
    curve.carrier = threading.Thread()  # nothing is sent but by hand
    monkeypatch.setattr(live, "BATCH", 4)

    def refuse(batch: list[Any]) -> None:
        raise OSError

    for step in range(10):
        curve.measured(step, {"loss": 1.0})
    monkeypatch.setattr(curve, "_send_batch", refuse)
    curve._send()
    assert [step for *_, step in curve.waiting] == list(range(10))
    monkeypatch.setattr(curve, "_send_batch", lambda batch: taken.extend(step for *_, step in batch))
    curve._send()
    assert taken == list(range(10)) and not curve.waiting


def _history(client: MlflowClient, experiment: str) -> list[Any]:
    found = client.get_experiment_by_name(experiment)
    runs = client.search_runs([found.experiment_id]) if found else []
    return list(client.get_metric_history(runs[0].info.run_id, "train/loss")) if runs else []


def _wait_for(look: Callable[[], list[Any]], count: int) -> list[Any]:
    end = time.monotonic() + 120
    while len(found := look()) < count:
        assert time.monotonic() < end, "the numbers did not arrive"
        time.sleep(0.5)
    return found
