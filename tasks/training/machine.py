"""What this machine is good at: the device, and the number format in which it multiplies fastest."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

GAIN = 1.3


@dataclass(frozen=True)
class Precision:
    """The number format of base weights and products, and why it was chosen."""

    device: str
    dtype: torch.dtype
    reason: str

    @property
    def name(self) -> str:
        """The format's short name, such as "bf16"."""
        return {torch.bfloat16: "bf16", torch.float32: "fp32"}[self.dtype]


def probe() -> Precision:
    """Return the format that pays on this machine; on a CPU found by timing two products for about 50 ms."""
    if torch.cuda.is_available():
        has = torch.cuda.is_bf16_supported(including_emulation=False)
        return Precision("cuda", torch.bfloat16 if has else torch.float32, f"the card {'has' if has else 'has no'} bf16 units")
    rates = {dtype: _product_rate(dtype) for dtype in (torch.float32, torch.bfloat16)}
    pays = rates[torch.bfloat16] > GAIN * rates[torch.float32]
    measured = f"a bf16 product reaches {rates[torch.bfloat16]:,.0f} GFLOP/s, an fp32 one {rates[torch.float32]:,.0f}"
    return Precision("cpu", torch.bfloat16 if pays else torch.float32, measured)


def _product_rate(dtype: torch.dtype, rows: int = 512, inner: int = 512, columns: int = 1024, times: int = 5) -> float:
    left, right = torch.ones(rows, inner, dtype=dtype), torch.ones(columns, inner, dtype=dtype)
    best = float("inf")
    for _ in range(times + 1):
        started = time.perf_counter()
        torch.nn.functional.linear(left, right)
        best = min(best, time.perf_counter() - started)
    return 2 * rows * inner * columns / best / 1e9
