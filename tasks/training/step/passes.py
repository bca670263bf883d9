"""One forward pass of a pack through the model."""

from __future__ import annotations

from typing import Any

import torch

from tasks.training.step.loss import AnswerHead
from tasks.training.step.packing import Pack


def pack_loss(model: Any, head: AnswerHead, pack: Pack, device: Any) -> torch.Tensor:
    """Return the summed loss of a pack's answer tokens; `head` stands in the model's output layer
    (tasks/training/step/loss.py).
    """
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
