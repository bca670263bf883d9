"""How many tokens fit into one forward and backward pass."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Saved for the backward pass per token and layer, in units of the hidden and of the feed-forward size; measured on Llama shapes.
HIDDEN_COPIES = 16
INNER_COPIES = 5
SHARE = 0.4


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


def pack_capacity(per_token: int, available: int, longest: int, step_lengths: Sequence[int]) -> int:
    """Return how many input tokens a pack may hold: what fits into a share of the memory, at least the longest row, at most the longest step."""
    return max(longest, min(int(available * SHARE / per_token), max(step_lengths)))
