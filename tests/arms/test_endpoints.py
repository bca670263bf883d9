"""Endpoints in a whole comparison, and a real server and its askers killed in the middle."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.responses import Response

from tests.endpoints import RealServer, good, serving
from tests.flows.conftest import ROOT, small, tuneworthy, with_tables

__all__ = ["small"]

KEY = "sk-a-key-nobody-may-see"


@pytest.mark.long
@pytest.mark.timeout(400)
def test_an_endpoint_that_fails_is_shown_as_failed_stops_nobody_and_is_asked_again_by_the_next_run(
    small: Path, tmp_path: Path, migrated_database: Path
) -> None:
    config, asked, refused = yaml.safe_load(small.read_text()), list[str](), list[str]()
    config["arms"] |= {"untrained": ["prompt"], "limit": 9}

    def answer(body: dict[str, Any]) -> Response:
        (asked if body["model"] == "big" else refused).append(body["messages"][1]["content"])
        return good(body) if body["model"] == "big" else Response("who are you?", 401)

    with serving(answer) as url:
        endpoint = {"url": url, "key": "env:BIG_KEY"}
        config["arms"]["endpoints"] = {"incumbent": endpoint | {"model": "big"}, "closed": endpoint | {"model": "old"}}
        small.write_text(yaml.safe_dump(config))
        store = with_tables(tmp_path / "store", migrated_database)
        runs = [tuneworthy("compare", small, "--json", store=store, BIG_KEY=KEY) for _ in range(2)]
    assert [run.returncode for run in runs] == [0, 0], runs[0].stderr
    assert [run.stderr.count("score_endpoint[closed]") for run in runs] == [2, 2]  # it starts, and fails
    found = json.loads(runs[1].stdout)["verdict"]
    incumbent, failed = found["endpoints"]
    assert [arm["arm"] for arm in found["arms"]] == ["prompt"]
    assert (incumbent["rows"], incumbent["in_place"][0]["arm"], len(asked)) == (9, "prompt", 9)
    assert "answers 401: who are you?" in failed["problem"] and failed["rows"] == 0
    written = (path for path in tmp_path.rglob("*") if path.is_file())
    assert not [path for path in written if KEY.encode() in path.read_bytes()]


ASK = """
import sys
from pathlib import Path
from schemas.errors import EndpointFailed
from schemas.sections.endpoints import EndpointConfig
from tasks.inference import endpoint
from tasks.reuse.progress import Reporter
from tasks.reuse.store import ArtifactStore
endpoint.RETRIES = 1
config = EndpointConfig(url=sys.argv[1], model=sys.argv[2])
one = endpoint.Endpoint("big", config, 6, ArtifactStore(Path(sys.argv[3])), Reporter())
try:
    replies = one.ask([[{"role": "user", "content": f"number {place}"}] for place in range(400)])
    print(len(replies))
except EndpointFailed:
    sys.exit(5)
"""


@pytest.fixture
def server(tiny_model: Path) -> Iterator[RealServer]:
    found = RealServer(tiny_model)
    yield found
    found.kill()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_killing_asker_and_server_at_ten_random_moments_loses_no_answer(server: RealServer, tmp_path: Path) -> None:
    chance, kept = random.Random(5), list[bytes]()

    def lines() -> list[bytes]:
        whole = b"".join(path.read_bytes() for path in (tmp_path / "answered").rglob("*.jsonl"))
        return [line for line in whole.split(b"\n")[:-1] if line]

    def asker() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", ASK, server.url, str(server.model), str(tmp_path)]
        return subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE)

    server.wait()
    for kill in range(10):
        asking, before = asker(), len(kept)
        while len(lines()) < before + chance.randrange(1, 30) and asking.poll() is None:
            time.sleep(0.01)
        if kill % 3 == 2:
            server.kill()
            asking.communicate()
            assert asking.returncode == 5
            server.start()
            server.wait()
        else:
            asking.kill()
            asking.communicate()
        now = lines()
        assert now[: len(kept)] == kept
        kept = now
    last = asker()
    assert last.communicate()[0].strip() == "400"
    digests = [json.loads(line)["digest"] for line in lines() if line.endswith(b"}")]
    assert len(digests) == len(set(digests)) == 400
