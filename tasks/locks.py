"""One worker per key on one machine: the kernel holds the lock, so a killed owner frees it at once."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def file_lock(path: Path, waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold a lock file; while another process holds it, say who through `waiting` and wait."""
    with path.open("a+", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting(_owner(path))
            fcntl.flock(stream, fcntl.LOCK_EX)
        with contextlib.suppress(OSError):  # on a full disk the lock holds all the same
            stream.truncate(0)
            stream.write(json.dumps({"pid": os.getpid()}))
            stream.flush()
        yield


def is_locked(path: Path) -> bool:
    """Tell whether a process of this machine holds a lock file."""
    with contextlib.suppress(FileNotFoundError), path.open(encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _owner(path: Path) -> str:
    try:
        return f"process {json.loads(path.read_text(encoding='utf-8'))['pid']}"
    except (OSError, ValueError, KeyError):
        return "another process"
