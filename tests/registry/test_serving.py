"""A version behind `mlflow models serve`, which answers every request in a thread of its own."""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.before_registry import Made, a_verdict, answering


@pytest.mark.slow
@pytest.mark.long
def test_requests_that_overlap_get_the_answers_of_one_after_the_other(made: Made, tmp_path: Path) -> None:
    made.register(a_verdict(0.85))
    (packed,) = (made.store.root / "mlartifacts").rglob("MLmodel")
    short, long = ([f"which states border state {place}?" for place in range(rows)] for rows in (200, 500))
    command = ["models", "serve", "--env-manager", "local", "--model-uri", str(packed.parent)]
    places = {"TUNEWORTHY_STORE": str(made.store.root), "PYTHONPATH": ""}
    places["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # MLflow starts uvicorn by its name
    with answering(command, tmp_path, **places) as uri, ThreadPoolExecutor() as clients:

        def ask(texts: list[str]) -> object:
            answer = httpx.post(f"{uri}/invocations", json={"inputs": texts}, timeout=60)
            return answer.json() if answer.is_success else answer.text

        alone = [ask(long), ask(short)]
        started = time.monotonic()
        ask(short)
        seconds = time.monotonic() - started
        for part in range(
            1, 20
        ):  # at one of these moments the short one is being decoded, and the long one outlasts it
            first = clients.submit(ask, short)
            time.sleep(seconds * part / 20)
            assert [ask(long), first.result()] == alone
