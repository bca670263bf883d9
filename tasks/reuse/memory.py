"""Peak resident memory of a stretch of work, as the kernel counts it."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import resource
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

# mallopt(3): sizes from which a piece is mapped on its own (32 MiB is the most that glibc takes), and of free memory
# from which it is handed back.
M_MMAP_THRESHOLD, M_TRIM_THRESHOLD = -3, -1
LARGEST_IN_HEAP = 32 * 2**20


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
    """Register a cache that may be emptied when a stage needs the memory; `clear` empties it."""
    _caches.append(clear)


def make_room() -> None:
    """Empty every registered cache, and hand freed memory back to the system (glibc keeps it otherwise)."""
    for clear in _caches:
        clear()
    hand_back()


def hand_back() -> None:
    """Hand freed memory back to the system, so that one stage's memory does not count in the next one's peak."""
    gc.collect()
    trim()
    if "torch" in sys.modules:
        sys.modules["torch"].cuda.empty_cache()  # does nothing where no card was used


def free_bytes(device: str) -> int:
    """Return the memory that is free on a device ("cpu" or "cuda") now; on a card that is also what torch keeps of
    what was freed.
    """
    if device == "cuda":
        import torch

        kept = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        return int(torch.cuda.mem_get_info()[0] + kept)
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]) * 1024


# What PyTorch's allocators, and the libraries below them, say where they raise a plain RuntimeError.
SIGNS = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory")


def is_out_of_memory(fault: BaseException) -> bool:
    """Return whether an error means that an allocation failed; torch's own class of it is a RuntimeError."""
    return isinstance(fault, MemoryError) or (
        isinstance(fault, RuntimeError) and any(sign in str(fault).lower() for sign in SIGNS)
    )


def keep_freed() -> None:
    """Let glibc keep what is freed, for the rest of the process, until it is trimmed.

    It would hand every large piece back at once and fetch it anew page by page: a tenth to a sixth of a training step
    on a CPU.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST_IN_HEAP)
        libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def trim() -> None:
    """Hand back the freed memory that glibc keeps, or its heap grows where packs of many lengths come and go."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
