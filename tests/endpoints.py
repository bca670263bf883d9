"""Servers that endpoints are tried on: `transformers serve` with the tiny model, and one that fails as it is told."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Answering = Callable[[dict[str, Any]], Response]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class RealServer:
    """transformers' own server, in a process that can be killed and started again at the same address."""

    def __init__(self, model: Path) -> None:
        self.model, self.port = model, free_port()
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self.start()

    def start(self) -> None:
        serve = [str(Path(sys.executable).with_name("transformers")), "serve", str(self.model), "--device", "cpu"]
        self.process = subprocess.Popen(
            [*serve, "--host", "127.0.0.1", "--port", str(self.port)],
            env=os.environ | {"HF_HUB_OFFLINE": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def wait(self) -> None:
        until = time.monotonic() + 90
        while time.monotonic() < until:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(self.url.replace("/v1", "/health")).status_code < 500:
                    return
            time.sleep(0.2)
        raise TimeoutError(f"transformers serve does not answer at {self.url}")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def completion(body: dict[str, Any], text: str = "red", finish: str = "stop", **changes: Any) -> dict[str, Any]:
    """Return what an OpenAI-compatible server answers."""
    message = {"role": "assistant", "content": text}
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": body["model"],
        "choices": [{"index": 0, "finish_reason": finish, "message": message}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
    } | changes


@contextlib.contextmanager
def serving(answer: Answering) -> Iterator[str]:
    """Serve what `answer` makes of each request's body, and yield the address."""

    async def chat(request: Request) -> Response:
        return answer(await request.json())

    app = Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])])
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.should_exit = True
        thread.join()


def good(body: dict[str, Any]) -> Response:
    return JSONResponse(completion(body))
