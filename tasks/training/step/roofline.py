"""How fast this model could be trained here if the matrix products of its linear layers took all the time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch

from tasks.training.rows import TokenRow

SECONDS = 0.05
ROWS = 512


def matmul_roofline(model: Any, rows: Sequence[TokenRow], dtype: torch.dtype) -> float:
    """Return the row tokens a second at which the linear layers' products in `dtype` alone would take all the time; 0
    where there is no linear layer.

    Counted are the forward pass and the backward pass to the inputs, for trained weights the one to the weights as
    well, and the output layer for answer tokens only. A prefix that rows share is computed once a pack, so training may
    be faster than this.
    """
    head = model.get_output_embeddings()
    layers = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear) and layer.weight.ndim == 2]
    inner = [layer for layer in layers if layer is not head]
    if not inner:
        return 0.0
    operations = sum(_operations(layer) for layer in inner)
    if head in layers:
        answers = sum(len(row.answer_ids) for row in rows)
        operations += _operations(head) * answers / sum(row.tokens for row in rows)
    largest = max(inner, key=lambda layer: layer.in_features * layer.out_features)
    return product_rate(dtype, model.device, largest.in_features, largest.out_features) / operations


def _operations(layer: Any) -> float:
    """Return the operations of a layer for one token: two a weight and pass, in two passes, or three if trained."""
    return float((6 if layer.weight.requires_grad else 4) * layer.in_features * layer.out_features)


def product_rate(dtype: torch.dtype, device: Any, inner: int, columns: int) -> float:
    """Return the operations a second of one product of a layer's shape, the best of as many tries as fit into 50 ms."""
    left = torch.ones(ROWS, inner, dtype=dtype, device=device)
    right = torch.ones(columns, inner, dtype=dtype, device=device)
    best, end = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < end or best == float("inf"):
        started = time.perf_counter()
        torch.nn.functional.linear(left, right)
        if left.is_cuda:
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return 2.0 * ROWS * inner * columns / best
