"""Peak resident memory of a stretch of work, as the kernel counts it."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import resource
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Peak:
    """Peak resident memory in bytes; filled in when the stretch ends."""

    bytes: int = 0


@contextlib.contextmanager
def peak_memory() -> Iterator[Peak]:
    """Measure the peak resident memory of this process within the block (Linux: the kernel's mark is reset first)."""
    peak = Peak()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    try:
        yield peak
    finally:
        peak.bytes = _high_water_mark()


def _high_water_mark() -> int:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


_caches: list[Callable[[], object]] = []


def may_be_dropped(clear: Callable[[], object]) -> None:
    """Name a cache that may be emptied when a stage needs the room; `clear` empties it."""
    _caches.append(clear)


def make_room() -> None:
    """Empty every cache that was named, and hand freed memory back to the system (glibc keeps it otherwise)."""
    for clear in _caches:
        clear()
    hand_back()


def hand_back() -> None:
    """Hand freed memory back to the system, so that one stage's peak does not stand under the next one's."""
    gc.collect()
    trim()


def trim() -> None:
    """Hand back what glibc keeps of freed memory; where packs of many lengths come and go, its heap creeps up without."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
