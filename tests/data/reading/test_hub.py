"""A data set on the hub: fetched at its commit through the real library from a hub of this test's own, and never from
another commit.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.sections.data import DataConfig

ROOT = Path(__file__).parents[3]
COMMIT = "a" * 40
FILES = {
    "README.md": b"# rows\n",
    "train.jsonl": b"".join(
        json.dumps({"prompt": f"q{n}?", "completion": f"a{n}"}).encode() + b"\n" for n in range(60)
    ),
}
FETCH = """
import json, sys
from pathlib import Path
from schemas.sections.data import DataConfig
from schemas.errors import TuneworthyError
from tasks.data.reading.hub import fetch_dataset
from tasks.reuse.store import ArtifactStore

for data in json.loads(sys.argv[1]):
    try:
        file = fetch_dataset(DataConfig.model_validate(data), ArtifactStore(Path(sys.argv[2])))
        print(json.dumps([len(Path(file.path).read_text().splitlines()), Path(file.path).name, file.digest]))
    except TuneworthyError as error:
        print(json.dumps([type(error).__name__, str(error)]))
"""


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers as the hub does for the one data set acme/rows."""

    asked: int = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        path, folder = self.path.partition("?")[0], f"/datasets/acme/rows/resolve/{COMMIT}/"
        if path.removeprefix(folder) in FILES:
            self._answer(FILES[path.removeprefix(folder)])
        elif path == f"/api/datasets/acme/rows/tree/{COMMIT}":
            self._answer(
                json.dumps(
                    [{"type": "file", "path": name, "size": len(text), "oid": name} for name, text in FILES.items()]
                ).encode()
            )
        elif path.startswith("/api/datasets/acme/rows/revision/"):
            self._answer(
                json.dumps(
                    {"id": "acme/rows", "sha": COMMIT, "siblings": [{"rfilename": name} for name in FILES]}
                ).encode()
            )
        else:
            self._answer(b"", 404)

    do_HEAD = do_GET  # noqa: N815

    def _answer(self, text: bytes, status: int = 200) -> None:
        self.send_response(status)
        for name, value in {
            "X-Repo-Commit": COMMIT,
            "ETag": hashlib.sha1(text).hexdigest(),
            "Content-Length": str(len(text)),
        }.items():
            self.send_header(name, value)
        if status != 200:
            self.send_header("X-Error-Code", "EntryNotFound" if "acme/rows" in self.path else "RepoNotFound")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def fetched(
    folder: Path, hub: str, *datasets: dict[str, str], store: str = "store", offline: bool = False
) -> list[list[Any]]:
    """Fetch in a process of its own, as the library reads its settings once."""
    settings = {
        "HF_ENDPOINT": hub,
        "HF_HOME": str(folder / "home"),
        "HF_HUB_OFFLINE": str(int(offline)),
        "PYTHONPATH": str(ROOT),
    }
    wanted = [{"source": "hub://acme/rows", "revision": COMMIT, **dataset} for dataset in datasets]
    command = [sys.executable, "-c", FETCH, json.dumps(wanted), str(folder / store)]
    done = subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_a_pinned_data_set_is_fetched_once_and_is_there_offline_from_then_on(hub: str, tmp_path: Path) -> None:
    first, again, no_split, nobody = fetched(tmp_path, hub, {}, {}, {"split": "test"}, {"source": "hub://acme/none"})
    assert first == again
    assert first[:2] == [60, "acme-rows.jsonl"]
    assert no_split[0] == "ConfigRefused"
    assert "has no split 'test'" in no_split[1]
    assert "Should be one of ['train']" in no_split[1]
    assert nobody[0] == "DatasetMissing"
    asked = Hub.asked
    assert fetched(tmp_path, hub, {}) == [first]
    assert Hub.asked == asked
    elsewhere, other = fetched(tmp_path, hub, {}, {"revision": "b" * 40}, store="other", offline=True)
    assert elsewhere == first
    assert other[0] == "DatasetMissing"
    assert "the cache holds another commit" in other[1]
    assert "HF_HUB_OFFLINE is set" in other[1]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"source": "hub://rows", "revision": COMMIT}, "hub://OWNER/NAME"),
        ({"source": "hub://acme/rows"}, "revision has to be the commit"),
        ({"source": "hub://acme/rows", "revision": "main"}, "40 hex digits, as a branch or tag can move"),
        (
            {"source": "hub://acme/rows", "revision": COMMIT, "query": "select 1"},
            "query goes with a database, and source names a data set on the hub",
        ),
        (
            {"source": "rows.jsonl", "revision": COMMIT},
            "revision goes with a data set on the hub, and source names files",
        ),
        ({"source": "rows.jsonl", "split": "train"}, "split goes with a data set on the hub"),
    ],
)
def test_a_data_set_that_is_not_pinned_or_not_one_is_refused(settings: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        DataConfig.model_validate(settings)
