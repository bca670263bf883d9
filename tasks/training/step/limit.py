"""How fast this model could be trained here if nothing but its frozen layers' matrix products took time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch

from tasks.training.rows import TokenRow

SECONDS = 0.05
ROWS = 512


def token_limit(model: Any, rows: Sequence[TokenRow], dtype: torch.dtype) -> float:
    """Return the row tokens a second at which the linear layers' products in `dtype` alone would take all the time; 0
    where there is no linear layer.

    Counted are the forward pass and the backward pass to the inputs, for trained weights the one to the weights as
    well, and the output layer for answer tokens only. A prefix that rows share is computed once a pack, so training may
    come out above this limit.
    """
    head = model.get_output_embeddings()
    sizes = {
        module: module.in_features * module.out_features
        for module in model.modules()
        if isinstance(module, torch.nn.Linear) and module.weight.ndim == 2
    }
    inner = [module for module in sizes if module is not head]
    if not inner:
        return 0.0
    passes = {module: 6.0 if module.weight.requires_grad else 4.0 for module in sizes}
    a_token = sum(passes[module] * sizes[module] for module in inner)
    if head in sizes:
        a_token += (
            passes[head] * sizes[head] * sum(len(row.answer_ids) for row in rows) / sum(row.tokens for row in rows)
        )
    largest = max(inner, key=sizes.__getitem__)
    return product_rate(dtype, model.device, largest.in_features, largest.out_features) / float(a_token)


def product_rate(dtype: torch.dtype, device: Any, inner: int, columns: int) -> float:
    """Return the operations a second of one product of a layer's shape, the best of as many tries as fit into 50 ms."""
    left, right = (
        torch.ones(ROWS, inner, dtype=dtype, device=device),
        torch.ones(columns, inner, dtype=dtype, device=device),
    )
    best, end = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < end or best == float("inf"):
        started = time.perf_counter()
        torch.nn.functional.linear(left, right)
        if left.is_cuda:
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return 2.0 * ROWS * inner * columns / best
