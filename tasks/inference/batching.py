"""Which prompts are decoded in one batch: those of similar length, as many as the memory budget allows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tasks.reuse.memory import free_bytes

MEBIBYTE = 2**20
# Beyond this many rows a step's time grows in proportion, so larger batches gain nothing.
MOST_ROWS = 128
# Small enough that a layer's intermediate results stay in the processor's cache.
PREFILL_TOKENS = 2048


def common_prefix(prompts: Sequence[list[int]]) -> int:
    """Return the length in tokens of the common prefix; at least one token of every prompt is left out of it."""
    shortest, longest = min(prompts), max(prompts)  # the lexicographically first and last: what they share, all share
    shared = next(
        (place for place, (one, other) in enumerate(zip(shortest, longest, strict=False)) if one != other),
        min(len(shortest), len(longest)),
    )
    return min(shared, min(map(len, prompts)) - 1)


def batches(lengths: Sequence[int], max_new_tokens: int, row_token_bytes: int, budget: int) -> list[list[int]]:
    """Return the rows of every batch, the longest prompts first, so that a lack of memory shows at once.

    Args:
        lengths: tokens of every prompt beyond the common prefix.
        max_new_tokens: tokens that an answer may have.
        row_token_bytes: bytes that one token of one row takes in the keys and values of all layers.
        budget: bytes that the keys and values of one batch may take; a single row is always allowed.
    """
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    made: list[list[int]] = []
    while order:
        room = budget // (row_token_bytes * (lengths[order[0]] + max_new_tokens))
        size = max(1, min(MOST_ROWS, room))
        made.append(order[:size])
        order = order[size:]
    return made


def chunks(lengths: Sequence[int], tokens: int = PREFILL_TOKENS) -> list[slice]:
    """Cut a batch (longest rows first) into runs of rows whose padded prompts have about `tokens` tokens together."""
    made, start = [], 0
    while start < len(lengths):
        size = max(1, tokens // max(1, lengths[start]))
        made.append(slice(start, min(start + size, len(lengths))))
        start += size
    return made


def row_token_bytes(config: Any, dtype: Any) -> int:
    """Return the bytes that one token's keys and values take in all layers of a model."""
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * size * dtype.itemsize)


def memory_budget(device: Any) -> int:
    """Return the bytes for a batch's keys and values: half of a GPU's free memory, a quarter of a CPU's up to 1 GiB."""
    free = free_bytes(device.type)
    return free // 2 if device.type == "cuda" else min(1024 * MEBIBYTE, free // 4)
