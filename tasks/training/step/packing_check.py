"""Before the first step: does this base, whatever its architecture, give packed rows the loss they have alone?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from schemas.errors import ConfigRefused
from tasks.training.rows import TokenRow, common_prefix
from tasks.training.step.attention import NAME
from tasks.training.step.loss import AnswerHead, pack_loss
from tasks.training.step.packing import collate

# Relative difference that rounding may make in this number format.
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.03}


def check_packing(model: Any, head: AnswerHead, rows: Sequence[TokenRow]) -> None:
    """Compare the packed loss of the two shortest rows with the base's own, one row at a time.

    Raises:
        ConfigRefused: they differ: the base mixes rows (convolutions, recurrent layers), or scales its logits.
    """
    two = sorted(rows, key=lambda row: row.tokens)[:2]
    was_training = model.training
    model.eval()
    with torch.no_grad():
        packed = pack_loss(model, head, collate(two, common_prefix(two)), model.device).item()
        plain = sum(plain_loss(model, row) * row.weight for row in two)
    model.train(was_training)
    if not abs(packed - plain) <= TOLERANCE[model.dtype] * abs(plain):
        raise ConfigRefused(
            f"base.model: this base cannot be trained on packed rows: their loss is {packed:.4f} in a pack and "
            f"{plain:.4f} alone. Some layer mixes neighbouring rows, or scales the logits, in a way that training does "
            "not support. Name another base model."
        )


def plain_loss(model: Any, row: TokenRow) -> float:
    """Return the summed loss of a row's answer by the base's own attention and logits."""
    config = model.config
    ids = torch.tensor([row.prompt_ids + row.answer_ids], device=model.device)
    config._attn_implementation = "sdpa"
    try:
        logits = model(input_ids=ids, use_cache=False).logits
    finally:
        config._attn_implementation = NAME
    start = len(row.prompt_ids) - 1
    return float(torch.nn.functional.cross_entropy(logits[0, start:-1].float(), ids[0, start + 1 :], reduction="sum"))
