"""`tuneworthy chat`: a conversation with a version, token by token."""

from __future__ import annotations

import argparse
import os
import queue
import sys
import tempfile
from pathlib import Path

from tasks.inference.continuous import Job, Token
from tasks.inference.prompts.prompt_builder import Request
from tasks.registry.serving.serving_version import Name, ServingVersion, fetch_version
from tasks.reuse.current_store import current_store

ROOM = 4096


def chat(arguments: argparse.Namespace) -> int:
    """Answer line by line until the input ends; an empty line begins anew."""
    destination, name = os.environ.get("MLFLOW_TRACKING_URI", ""), Name.parse(arguments.name)
    with tempfile.TemporaryDirectory() as folder:
        fetched = fetch_version(destination, name, current_store(), Path(folder) / "version")
        version = ServingVersion(fetched, 1, ROOM)
    print(f"{name.model} version {version.version}. An empty line begins anew; Ctrl-D ends.", file=sys.stderr)
    history: list[str] = []
    while (line := _line()) is not None:
        if not line:
            history.clear()
            continue
        history += [line, _answer(version, Request(line, tuple(history)))]
    version.engine.close()
    return 0


def _line() -> str | None:
    try:
        return input("> " if sys.stdin.isatty() else "").strip()
    except EOFError:
        return None


def _answer(version: ServingVersion, request: Request) -> str:
    arrived: queue.Queue[Token | Exception | None] = queue.Queue()
    job = Job(version.rendered(request), version.facts.max_new_tokens, arrived.put)
    version.engine.submit(job)
    ids, told = [], ""
    while (token := arrived.get()) is not None:
        if isinstance(token, Exception):
            raise token
        ids.append(token.id)
        text = version.text(ids).rstrip("\ufffd")
        print(text[len(told) :], end="", flush=True)
        told = text
    print()
    return version.text(ids)
