"""A version behind `mlflow models serve`, which answers every request in a thread of its own."""

from __future__ import annotations

import os
import sys
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
    # Of different lengths, so that one begins while another is answered and ends after it.
    requests = [
        [f"{count} rows: which states border state {place}?" for place in range(count)] for count in (60, 120, 180)
    ]
    command = ["models", "serve", "--env-manager", "local", "--model-uri", str(packed.parent)]
    places = {"TUNEWORTHY_STORE": str(made.store.root), "PYTHONPATH": ""}
    places["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # MLflow starts uvicorn by its name
    with answering(command, tmp_path, **places) as uri:

        def ask(texts: list[str]) -> object:
            answer = httpx.post(f"{uri}/invocations", json={"inputs": texts}, timeout=60)
            return answer.json() if answer.is_success else answer.text

        with ThreadPoolExecutor() as clients:
            together = list(clients.map(ask, requests))
        assert together == [ask(texts) for texts in requests]
