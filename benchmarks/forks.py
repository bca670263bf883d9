"""Work in a forked process, so that a trial starts in milliseconds with torch loaded; what a fork makes unsafe is set
up again here.
"""

from __future__ import annotations

import gc
import os
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

import torch
from tqdm import tqdm


def make_ready() -> None:
    """Prepare this process for many forks: one thread of torch, no lock shared with its children, no garbage
    collection of what is loaded.
    """
    torch.set_num_threads(1)
    # The lock that tqdm makes is one semaphore for a process and all forked from it: a child killed while it holds it
    # would stop every later one.
    tqdm.set_lock(threading.RLock())
    gc.freeze()


def forked(work: Callable[[], object], store: Path) -> int:
    """Start work on a store in a forked process and return its pid; its output, and the error that ends it, go to the
    store's log.
    """
    pid = os.fork()
    if pid:
        return pid
    code = 1
    log = log_of(store).open("a", encoding="utf-8")
    try:
        os.environ["TUNEWORTHY_STORE"] = str(store)
        # Sets up torch's thread pool again; two threads that first used it after a fork could find none.
        torch.set_num_threads(1)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        work()
        code = 0
    except BaseException:  # noqa: BLE001 - whatever it was, the trial reports it
        traceback.print_exc(file=log)
    log.flush()
    os._exit(code)


def ended_well(pid: int) -> bool:
    """Wait for a forked process and return whether it did its work."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def log_of(store: Path) -> Path:
    """Return the log file of the runs on a store."""
    return store.with_name(f"{store.name}.log")


def said(store: Path) -> str:
    """Return the end of the log of the runs on a store."""
    return log_of(store).read_text(encoding="utf-8")[-2000:]
