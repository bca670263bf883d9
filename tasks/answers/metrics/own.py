"""A scorer of the user's own, FILE.py:FUNCTION: a pure function of answer and reference, in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import weakref
from typing import IO, Any, cast

from tasks.answers.metrics import own_process

START_SECONDS = 60.0  # for the scorer's imports


class ScorerFailed(Exception):
    """Raised if a scorer of the user's own does what it may not; the message says what, and quotes no row."""


class OwnScorer:
    """Sends answers to the process, starts it when the first one comes, and ends it with everything that it started."""

    def __init__(self, source: str, name: str, seconds: float) -> None:
        """Take the source of the file, the function's name in it, and how long one answer may take."""
        self._source, self._name, self._seconds = source, name, seconds
        self._process: subprocess.Popen[str] | None = None

    def __call__(self, output: str, gold: str) -> float:
        """Return the function's score.

        Raises:
            ScorerFailed: it raises, takes too long, prints, forks, writes, or returns no number from 0 to 1.
        """
        if self._process is None:
            self._process = self._started()
        score = self._asked(self._process, [output, gold], self._seconds)
        if not 0 <= score <= 1:
            raise ScorerFailed(f"returns {score:g}, not a number from 0 to 1")
        return score

    def _started(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-IB", str(own_process.__file__)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env={"PATH": os.environ.get("PATH", "")},
            start_new_session=True,
        )
        weakref.finalize(self, _end, process)
        self._asked(process, [self._source, self._name], START_SECONDS)
        return process

    def _asked(self, process: subprocess.Popen[str], message: list[str], seconds: float) -> float:
        fault = "ends its process"
        try:
            print(json.dumps(message), file=process.stdin, flush=True)
            is_ready = bool(select.select([cast("IO[str]", process.stdout)], [], [], seconds)[0])
            line = process.stdout.readline() if process.stdout and is_ready else ""
            reply: dict[str, Any] = json.loads(line) if line else {}
            fault = reply.get("fault", fault if is_ready else f"takes longer than {seconds:g} s")
            if "score" in reply:
                return float(reply["score"])
        except (BrokenPipeError, ValueError):
            pass
        _end(process)
        self._process = None
        raise ScorerFailed(fault)


def _end(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(BrokenPipeError):
            cast("IO[str]", pipe).close()
