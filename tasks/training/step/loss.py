"""Cross entropy of answer tokens, a few hundred at a time: never are all their logits in memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.nn.functional import cross_entropy, linear, log_softmax

from tasks.training.step.chunk_sizes import CHUNK, ROWS
from tasks.training.step.packing import Pack


class ChunkedCrossEntropy(torch.autograd.Function):
    """Summed cross entropy of states (A, D) against labels (A,) by an output layer (V, D), (V,), with its gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        labels: torch.Tensor,
        chunk: int,
        weights: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the sum in fp32, keeping the gradients of what is trained instead of logits."""
        needed = ctx.needs_input_grad[:3]
        ctx.grads = [
            torch.zeros_like(part) if is_needed else None
            for part, is_needed in zip((hidden, weight, bias), needed, strict=True)
        ]
        total = hidden.new_zeros((), dtype=torch.float32)
        for start in range(0, hidden.shape[0], chunk):
            part = hidden[start : start + chunk]
            logits = linear(part, weight, bias)
            some = slice(start, start + chunk)
            total += _to_slopes(logits, labels[some, None], None if weights is None else weights[some, None])
            if any(needed):
                _add_grads(ctx.grads, logits, part, weight, some)
            del logits  # or two chunks would be in memory at once
        return total

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[Any, ...]:
        """Scale the gradients that the forward pass computed."""
        scaled = (None if grad is None else grad * grads[0].to(grad.dtype) for grad in ctx.grads)
        return *scaled, None, None, None


def _to_slopes(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """Return the summed cross entropy of logits (n, V) against labels (n, 1), each times its weight (n, 1) if there are
    any; the logits become their gradients in place, a few rows at a time.

    A few rows in fp32 stay in the CPU's cache through all of these passes; 256 rows of 49,152 did not, and took a fifth
    longer in all.
    """
    total = logits.new_zeros((), dtype=torch.float32)
    for number, (part, wanted) in enumerate(zip(logits.split(ROWS), labels.split(ROWS), strict=True)):
        log_odds = log_softmax(part, -1, dtype=torch.float32)
        if weights is None:
            total -= log_odds.gather(1, wanted).sum()
            part.copy_(log_odds.exp_().scatter_add_(1, wanted, log_odds.new_full(wanted.shape, -1.0)))
            continue
        weight = weights[number * ROWS : (number + 1) * ROWS]
        total -= (log_odds.gather(1, wanted) * weight).sum()
        part.copy_(log_odds.exp_().scatter_add_(1, wanted, log_odds.new_full(wanted.shape, -1.0)).mul_(weight))
    return total


def _add_grads(
    grads: list[torch.Tensor | None], slope: torch.Tensor, part: torch.Tensor, weight: torch.Tensor, place: slice
) -> None:
    hidden, matrix, bias = grads
    if hidden is not None:
        torch.mm(slope, weight, out=hidden[place])
    if matrix is not None:
        matrix.addmm_(slope.t(), part)
    if bias is not None:
        bias += slope.sum(0)


def answer_loss(
    hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, labels: torch.Tensor, chunk: int = CHUNK,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:  # fmt: skip
    """Return the summed cross entropy of hidden states (A, D) that predict labels (A,), each times its weight (A,)."""
    return torch.as_tensor(ChunkedCrossEntropy.apply(hidden, weight, bias, labels, chunk, weights))


def token_losses(
    hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, labels: torch.Tensor
) -> torch.Tensor:
    """Return the cross entropy of each label (A,), without gradients."""
    parts = zip(hidden.split(CHUNK), labels.split(CHUNK), strict=True)
    found = [cross_entropy(linear(part, weight, bias).float(), some, reduction="none") for part, some in parts]
    return torch.cat(found)


class AnswerHead:
    """Replaces the forward pass of a model's output layer: while `labels` are set, it returns their summed loss instead
    of logits, each label's times its weight; or the loss of each, `by_token`.
    """

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self.labels: torch.Tensor | None = None
        self.weights: torch.Tensor | None = None
        self.by_token = False

    def __call__(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the loss of the set labels, or the layer's logits."""
        if self.labels is None:
            return linear(hidden, self.layer.weight, self.layer.bias)
        # Autocast does not know our function: it gets the inputs that autocast would give a linear layer.
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
        weight, bias = (part if part is None else part.to(dtype) for part in (self.layer.weight, self.layer.bias))
        with torch.autocast(device, enabled=False):
            flat = hidden.reshape(-1, hidden.shape[-1]).to(dtype)
            if self.by_token:
                return token_losses(flat, weight, bias, self.labels)
            return answer_loss(flat, weight, bias, self.labels, weights=self.weights)


@contextlib.contextmanager
def answering(model: Any) -> Iterator[AnswerHead]:
    """Put an AnswerHead in place of the output layer's forward pass; its parameters keep their names."""
    layer = model.get_output_embeddings()
    head = AnswerHead(layer)
    layer.forward = head
    try:
        yield head
    finally:
        del layer.forward


def pack_loss(
    model: Any, head: AnswerHead, pack: Pack, device: Any, weights: Sequence[float] | None = None
) -> torch.Tensor:
    """Return the summed loss of a pack's answer tokens, from one forward pass; `head` is in place of the model's output
    layer. `weights` are those of the pack's rows, instead of their own.
    """
    by_row = [row.weight for row in pack.rows] if weights is None else weights
    if any(weight != 1 for weight in by_row):
        lengths = torch.tensor([len(row.answer_ids) for row in pack.rows])
        head.weights = torch.tensor(by_row, dtype=torch.float32).repeat_interleave(lengths).to(device)
    try:
        return _answered(model, head, pack, device)
    finally:
        head.weights = None


def pack_logps(model: Any, head: AnswerHead, pack: Pack, device: Any) -> list[float]:
    """Return the summed log-probability of each answer of a pack, in the order of its rows; without gradients."""
    head.by_token = True
    try:
        losses = _answered(model, head, pack, device).double()
    finally:
        head.by_token = False
    return [-float(part.sum()) for part in losses.split([len(row.answer_ids) for row in pack.rows])]


def _answered(model: Any, head: AnswerHead, pack: Pack, device: Any) -> torch.Tensor:
    head.labels = pack.labels.to(device)
    try:
        answered = model(
            input_ids=pack.input_ids.to(device),
            position_ids=pack.position_ids.to(device),
            packing=pack.layout.to(device),
            logits_to_keep=pack.answer_positions.to(device),
            use_cache=False,
        )
    finally:
        head.labels = None
    return torch.as_tensor(answered.logits)
