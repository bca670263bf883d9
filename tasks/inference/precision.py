"""The precision in which this machine multiplies fastest: one choice for training and inference, with its reason."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from pathlib import Path

import torch

BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
# The coarser bf16 is used only where it is faster; on a processor with bf16 units it is assumed to be, unless the
# measurement clearly says otherwise.
GAIN_WITHOUT_UNITS = 1.3
GAIN_WITH_UNITS = 0.9
TRIES = 12


@dataclass(frozen=True)
class Precision:
    """The device, the dtype of weights and matrix products on it, and why it was chosen."""

    device: str
    dtype: torch.dtype
    reason: str

    @property
    def name(self) -> str:
        """The dtype's short name, such as "bf16"."""
        return {torch.bfloat16: "bf16", torch.float32: "fp32"}[self.dtype]


def numbered(device: str) -> str:
    """Return a device with its number: accelerate refuses to train a quantised model on a "cuda" without one."""
    return f"cuda:{torch.cuda.current_device()}" if device == "cuda" else device


@functools.cache
def best_precision() -> Precision:
    """Return this machine's fastest precision; on a CPU by flags and by timing products for 50 ms, once a process."""
    if torch.cuda.is_available():
        has = torch.cuda.is_bf16_supported(including_emulation=False)
        return Precision(
            "cuda",
            torch.bfloat16 if has else torch.float32,
            f"{torch.cuda.get_device_name()} {'has' if has else 'has no'} bf16 units",
        )
    has = bool(BF16_FLAGS & _processor_flags())
    gain = measured_gain()
    pays = gain >= (GAIN_WITH_UNITS if has else GAIN_WITHOUT_UNITS)
    units = "has bf16 units" if has else "has no bf16 units"
    return Precision(
        "cpu",
        torch.bfloat16 if pays else torch.float32,
        f"this CPU {units}, and a bf16 matrix product took {1 / gain:.2f} times as long as in fp32",
    )


def measured_gain(rows: int = 256, inner: int = 512, columns: int = 1024) -> float:
    """Return how many times faster a bf16 matrix product is than an fp32 one.

    Measured on one thread, the two in turn, the best of several tries each, so that other work on the machine does not
    decide.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    best = {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    try:
        factors = {
            dtype: (torch.ones(rows, inner, dtype=dtype), torch.ones(columns, inner, dtype=dtype)) for dtype in best
        }
        for _ in range(TRIES):
            for dtype, (left, right) in factors.items():
                started = time.perf_counter()
                torch.nn.functional.linear(left, right)
                best[dtype] = min(best[dtype], time.perf_counter() - started)
    finally:
        torch.set_num_threads(threads)
    return best[torch.float32] / best[torch.bfloat16]


def _processor_flags() -> set[str]:
    path = Path("/proc/cpuinfo")
    return set(path.read_text(encoding="utf-8", errors="replace").split()) if path.exists() else set()
