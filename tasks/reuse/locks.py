"""One worker per key: a lock file on one machine, and a lease across machines that share an object store.

The kernel holds a lock file, so a killed owner frees it at once. An object store has no locks, but it has conditional
writes: create only if absent (``If-None-Match: *``) and replace only if unchanged (``If-Match: etag``). The owner of a
lease rewrites it every few seconds. A waiter that has seen the same bytes for EXPIRY seconds by its own monotonic clock
takes over; no two machines' clocks are ever compared, so a clock that is wrong or set back does no harm.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HEARTBEAT = 4.0  # seconds
EXPIRY = 20.0  # seconds without a heartbeat after which an owner counts as dead
POLL = 1.0


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


class Lease:
    """The lease object of one key in an fsspec file system."""

    def __init__(self, fs: Any, path: str) -> None:
        self.fs, self.path = fs, path
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self.beats = 0

    def _bytes(self) -> bytes:
        self.beats += 1
        return json.dumps({"owner": self.owner, "beat": self.beats}).encode()

    def read(self) -> bytes | None:
        """Return the lease's bytes, or None when nobody holds it."""
        try:
            return bytes(self.fs.cat_file(self.path))
        except FileNotFoundError:
            return None

    def create(self) -> bool:
        """Take a lease that nobody holds; tell whether that worked."""
        try:
            self.fs.pipe_file(self.path, self._bytes(), mode="create")
        except FileExistsError:
            return False
        return True

    def take_over(self, seen: bytes) -> bool:
        """Replace a dead owner's lease if it still holds the bytes that were seen; tell whether that worked."""
        if self.read() != seen:
            return False
        if not hasattr(
            self.fs, "call_s3"
        ):  # a file system without conditional replace: remove, then race for the create
            with contextlib.suppress(FileNotFoundError):
                self.fs.rm_file(self.path)
            return self.create()
        bucket, _, key = self.path.partition("/")
        try:
            etag = self.fs.info(self.path, refresh=True)["ETag"]
            self.fs.call_s3("put_object", Bucket=bucket, Key=key, Body=self._bytes(), IfMatch=etag)
        except (OSError, KeyError):
            return False
        return True

    def beat(self) -> None:
        """Show that the owner lives."""
        self.fs.pipe_file(self.path, self._bytes())

    def release(self) -> None:
        """Give the lease back if it is still ours."""
        held = self.read()
        if held is not None and json.loads(held)["owner"] == self.owner:
            with contextlib.suppress(FileNotFoundError):
                self.fs.rm_file(self.path)


@contextlib.contextmanager
def holding_lease(fs: Any, path: str, waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold the lease of a key; while another holds it, name the holder through `waiting`; take a dead owner's over."""
    lease = Lease(fs, path)
    _acquire(lease, waiting)
    stopped = threading.Event()
    heart = threading.Thread(target=_keep_beating, args=(lease, stopped), daemon=True)
    heart.start()
    try:
        yield
    finally:
        stopped.set()
        heart.join()
        lease.release()


def _acquire(lease: Lease, waiting: Callable[[str], None]) -> None:
    seen, since, has_said = None, time.monotonic(), False
    while not lease.create():
        now = lease.read()
        if now is not None and not has_said:
            waiting(json.loads(now)["owner"])
            has_said = True
        if now != seen:
            seen, since = now, time.monotonic()
        elif seen is not None and time.monotonic() - since > EXPIRY and lease.take_over(seen):
            return
        time.sleep(POLL)


def _keep_beating(lease: Lease, stopped: threading.Event) -> None:
    while not stopped.wait(HEARTBEAT):
        with contextlib.suppress(OSError):  # one missed beat is no loss; EXPIRY allows for several
            lease.beat()
