"""Which machine a table was measured on, and processes that nothing was measured in before."""

from __future__ import annotations

import contextlib
import multiprocessing
import platform
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def processor() -> str:
    """Return the processor's name as the kernel tells it."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def in_a_process(work: Callable[..., T], *arguments: Any) -> T:
    """Return what work gives in a new process of its own; what it prints goes to standard error."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_to_stderr, work, arguments).result()


def _to_stderr(work: Callable[..., T], arguments: tuple[Any, ...]) -> T:
    with contextlib.redirect_stdout(sys.stderr):
        return work(*arguments)
