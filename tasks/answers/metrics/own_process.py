"""The process that a scorer of the user's own runs in; run by own.py, it imports nothing of ours.

It reads the scorer's source and name, then one JSON pair [answer, reference] a line, and answers each with one line:
{"score": ...} or {"fault": why it is refused}. Standard output belongs to the scorer, so that a print is noticed.
"""

from __future__ import annotations

import _thread
import functools
import json
import os
import resource
import sys
import tempfile
import traceback
from collections.abc import Callable
from typing import Any

FILE = "scorer"
MEMORY = 8 * 2**30  # bytes of address space
REFUSED = {
    "os.fork": "forks",
    "os.forkpty": "forks",
    "os.posix_spawn": "starts a process",
    "os.exec": "starts a process",
    "os.system": "starts a process",
    "subprocess.Popen": "starts a process",
    "socket.connect": "opens a connection",
    "os.kill": "sends a signal",
}
broken: list[str] = []


def watch(event: str, values: tuple[Any, ...]) -> None:
    """Refuse what a pure function does not do; noted too, since a scorer may catch the error."""
    fault = REFUSED.get(event)
    if event == "open" and (set(str(values[1] or "")) & set("wax+") or values[2] & (os.O_WRONLY | os.O_RDWR)):
        fault = "opens a file to write"
    if fault:
        broken.append(fault)
        raise PermissionError(fault)


def guarded(call: Callable[[], Any], printed: int) -> dict[str, Any]:
    """Return what a call gives, or its fault."""
    try:
        answer: dict[str, Any] = {"score": call()}
        if isinstance(answer["score"], bool) or not isinstance(answer["score"], (int, float)):
            answer = {"fault": f"returns a {type(answer['score']).__name__}, not a number"}
    except BaseException as fault:  # noqa: BLE001 - whatever it is, the row is told
        lines = [frame.lineno for frame in traceback.extract_tb(fault.__traceback__) if frame.filename == FILE]
        answer = {"fault": f"raises {type(fault).__name__}" + (f" in line {lines[-1]}" if lines else "")}
    sys.stdout.flush()
    sys.stderr.flush()
    if broken:
        answer = {"fault": broken[0]}
    elif _thread._count():
        answer = {"fault": "leaves a thread running"}
    elif os.fstat(printed).st_size:
        answer = {"fault": "prints"}
    return answer


def _load(source: str, space: dict[str, Any]) -> float:
    exec(compile(source, FILE, "exec"), space)  # noqa: S102 - the user's own
    return 0


def main() -> None:
    """Load the scorer, then answer line by line."""
    replies = os.fdopen(os.dup(1), "w")
    with tempfile.TemporaryFile() as file:
        printed = os.dup(file.fileno())
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    lines = iter(sys.stdin.readline, "")
    source, name = json.loads(next(lines))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    space: dict[str, Any] = {"__name__": FILE}
    sys.addaudithook(watch)
    started = guarded(lambda: _load(source, space), printed)
    print(json.dumps(started), file=replies, flush=True)
    for line in lines:
        reply = guarded(functools.partial(space[name], *json.loads(line)), printed)
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()
