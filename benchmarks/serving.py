"""Requests answered by `tuneworthy serve`, `transformers serve` and `mlflow models serve`, in one run:
``python benchmarks/serving.py NAME@ALIAS ROWS [--clients 1 8 32] [--requests N]``.

NAME is a registered version in this machine's store (TUNEWORTHY_STORE, MLFLOW_TRACKING_URI), ROWS a JSON lines file
whose `prompt` is asked. transformers serves the version's merged export. The servers answer the same requests, one
server at a time; tokens/s counts tokens of the answers, by the version's tokenizer; first is the median of the seconds
from request to first token, for servers that stream; equal is the share of answers that are those of tuneworthy serve.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from tasks.registry.delivery.exporting import export  # noqa: E402 - found on the path above
from tasks.registry.serving.serving_version import FetchedVersion, Name, fetch_version  # noqa: E402
from tasks.registry.version.served import find_base  # noqa: E402
from tasks.reuse.current_store import current_store  # noqa: E402

PATIENCE = 600  # seconds for a server to come up, and for an answer
Ask = Callable[[str, str], tuple[str, float | None]]


@dataclass(frozen=True)
class Contender:
    """A server: its command with {port}, where it says that it is up, and how it is asked (text, seconds to first)."""

    name: str
    command: list[str]
    health: str
    ask: Ask


def chat(model: str, instruction: str, most: int) -> Ask:
    """Return how OpenAI's chat completions are asked, as a stream."""

    def ask(uri: str, text: str) -> tuple[str, float | None]:
        messages = [{"role": "system", "content": instruction}, {"role": "user", "content": text}]
        body = {"model": model, "messages": messages, "stream": True, "max_tokens": most, "temperature": 0}
        started, first, parts = time.perf_counter(), None, []
        with httpx.stream("POST", f"{uri}/v1/chat/completions", json=body, timeout=PATIENCE) as response:
            response.raise_for_status() if response.is_success else response.read()
            for line in response.iter_lines():
                if not line.startswith("data: {"):
                    continue
                choices = json.loads(line.removeprefix("data: "))["choices"]
                if choices and (piece := choices[0]["delta"].get("content")):
                    first = first or time.perf_counter() - started
                    parts.append(piece)
        return "".join(parts), first

    return ask


def invoke(uri: str, text: str) -> tuple[str, float | None]:
    """Ask MLflow's scoring server."""
    answer = httpx.post(f"{uri}/invocations", json={"inputs": [text]}, timeout=PATIENCE)
    answer.raise_for_status()
    return answer.json()["predictions"][0], None


def contenders(fetched: FetchedVersion, merged: Path) -> list[Contender]:
    """Return the three servers of one version."""
    binaries, facts, model = Path(sys.executable).parent, fetched.facts, fetched.name.model
    ours = [sys.executable, "-m", "flows.command_line.main", "serve", str(fetched.name), "--port", "{port}"]
    ours += ["--places", "32"]
    theirs = [str(binaries / "transformers"), "serve", "--host", "127.0.0.1", "--port", "{port}", "--device", "cpu"]
    packed = [
        "models",
        "serve",
        "--env-manager",
        "local",
        "--model-uri",
        str(fetched.adapter.parent),
        "--port",
        "{port}",
    ]
    return [
        Contender("tuneworthy", ours, "/health", chat(model, facts.instruction, facts.max_new_tokens)),
        Contender("transformers", theirs, "/health", chat(str(merged), facts.instruction, facts.max_new_tokens)),
        Contender("mlflow", [str(binaries / "mlflow"), *packed], "/ping", invoke),
    ]


@contextlib.contextmanager
def running(contender: Contender, log: Path) -> Iterator[str]:
    """Run a server until the end of the block; its first answer is waited for."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [part.format(port=port) for part in contender.command]
    paths = {"PYTHONPATH": str(ROOT), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with log.open("w") as out:
        server = subprocess.Popen(command, stdout=out, stderr=out, env=os.environ | paths, start_new_session=True)
    uri, deadline = f"http://127.0.0.1:{port}", time.monotonic() + PATIENCE
    try:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{uri}{contender.health}").is_success:
                    break
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{contender.name} did not come up:\n{log.read_text()[-2000:]}")
            time.sleep(0.2)
        contender.ask(uri, "hello")  # loads the model where the server does it late
        yield uri
    finally:
        os.killpg(server.pid, 15)
        server.wait()


def main() -> None:
    """Print the table."""
    from transformers import AutoTokenizer

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("rows", type=Path)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--requests", type=int, default=4, help="of each client")
    arguments = parser.parse_args()
    texts = [json.loads(line)["prompt"] for line in arguments.rows.read_text(encoding="utf-8").splitlines()]
    with tempfile.TemporaryDirectory() as scratch:
        folder, uri = Path(scratch), os.environ.get("MLFLOW_TRACKING_URI", "")
        fetched = fetch_version(uri, Name.parse(arguments.name), current_store(), folder / "version")
        export(fetched, "merged", folder / "merged", tolerance=1.0)
        tokenizer = AutoTokenizer.from_pretrained(str(find_base(fetched.facts)), local_files_only=True)
        expected: dict[str, str] = {}
        print(f"{'server':<14}{'clients':>8}{'tokens/s':>10}{'first s':>9}{'equal':>7}", flush=True)
        for contender in contenders(fetched, folder / "merged"):
            with running(contender, folder / "log") as place:
                for clients in arguments.clients:
                    asked = [texts[number % len(texts)] for number in range(clients * arguments.requests)]
                    started = time.perf_counter()
                    with ThreadPoolExecutor(clients) as pool:
                        found = list(pool.map(lambda text: contender.ask(place, text), asked))  # noqa: B023
                    seconds = time.perf_counter() - started
                    answers = dict(zip(asked, (text for text, _ in found), strict=True))
                    tokens = sum(len(tokenizer.encode(text)) for text, _ in found)
                    firsts = [first for _, first in found if first is not None]
                    first = f"{statistics.median(firsts):.2f}" if firsts else "-"
                    equal = statistics.mean(
                        expected.setdefault(text, answer) == answer for text, answer in answers.items()
                    )
                    line = f"{contender.name:<14}{clients:>8}{tokens / seconds:>10.1f}{first:>9}{equal:>7.2f}"
                    print(line, flush=True)


if __name__ == "__main__":
    main()
