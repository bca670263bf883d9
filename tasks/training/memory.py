"""How many tokens fit into one forward and backward pass."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Held per token and layer until the backward pass, in units of the hidden and of the feed-forward size. Measured on SmolLM2-135M as the growth
# of resident memory, so what the allocator wastes is in it: 1.3 MB a token in bf16, 2.4 MB in fp32.
HIDDEN_COPIES = 18
INNER_COPIES = 6.5
# Weights, gradients and optimiser states, in units of the base's files (16-bit weights): full holds four fp32 numbers a weight.
WEIGHTS = {"full": 8.0, "lora": 2.0, "qlora": 1.0}
# On a CPU a product over more tokens than this is no faster (2.0 ms a token in packs of 800 and of 1,500, 2.1 in packs of 500), only larger.
ENOUGH = {"cpu": 800, "cuda": 16_384}
# Some of what is free stays free: other processes grow as well.
SHARE = 0.5


def activation_bytes(config: Any, width: int) -> int:
    """Return the bytes that one token of a pack holds between forward and backward; `width` is the number format's size in bytes."""
    inner = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
    return int(config.num_hidden_layers * width * (HIDDEN_COPIES * config.hidden_size + INNER_COPIES * inner))


def available_bytes(device: str) -> int:
    """Return the memory that is free on the device now."""
    if device == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[0])
    lines = Path("/proc/meminfo").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]) * 1024


def room_for_packs(base: Path, method: str, device: str) -> int:
    """Return the bytes that packs may take: a share of what is free once weights, gradients and optimiser states have their place."""
    weights = sum(path.stat().st_size for path in base.glob("*.safetensors")) * WEIGHTS[method]
    return max(0, int((available_bytes(device) - weights) * SHARE))


def pack_capacity(device: str, per_token: int, room: int, longest: int, step_lengths: Sequence[int]) -> int:
    """Return how many input tokens a pack may hold: what there is room for and pays, at least the longest row, at most the longest step."""
    return max(longest, min(room // per_token, ENOUGH[device], max(step_lengths)))
