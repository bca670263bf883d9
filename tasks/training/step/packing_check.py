"""Does this base, whatever its architecture, answer packed rows as it answers each alone?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from schemas.errors import ConfigRefused
from tasks.training.rows import TokenRow, common_prefix
from tasks.training.step.attention import NAME
from tasks.training.step.loss import AnswerHead, pack_loss
from tasks.training.step.packing import Pack, collate

ROWS = 4


def check_packing(model: Any, head: AnswerHead, rows: Sequence[TokenRow]) -> None:
    """Compare the logits of every answer token in a pack of a few rows with the base's own, one row at a time, and the
    loss that training has with that of these logits.

    Raises:
        ConfigRefused: they differ: the base mixes rows (convolutions, recurrent layers), or scales its logits.
    """
    # The shortest ones, and one of medium length, so that two buckets have their turn.
    ordered = sorted((replace(row, weight=1.0) for row in rows), key=lambda row: (row.tokens, row.row_id))
    few = [*ordered[: ROWS - 1], *ordered[ROWS - 1 :][: len(ordered) // 2][-1:]]
    pack = collate(few, common_prefix(few))
    was_training = model.training
    model.eval()
    with torch.no_grad():
        trained = pack_loss(model, head, pack, model.device).item()
        packed, plain = packed_logits(model, pack), torch.cat([plain_logits(model, row) for row in few])
    model.train(was_training)
    apart = float(((packed - plain).abs().amax(1) / (plain.amax(1) - plain.amin(1))).max())
    loss = torch.nn.functional.cross_entropy(packed, pack.labels.to(packed.device), reduction="sum").item()
    # Rounding moves logits by far less than the square root of the format's precision, an error by about their range.
    if not apart < torch.finfo(model.dtype).eps ** 0.5:
        raise ConfigRefused(
            f"base.model: this base cannot be trained on packed rows: in a pack its logits move by {apart:.1e} of "
            "their range from what they are alone. Some layer mixes neighbouring rows in a way that training does not "
            "support. Name another base model."
        )
    if not abs(trained - loss) <= 0.01 * abs(loss) + 0.01:
        raise ConfigRefused(
            f"base.model: this base cannot be trained here: it changes its logits behind the output layer, so that the "
            f"loss of a few rows is {loss:.4f}, and training would see {trained:.4f}. Name another base model."
        )


def packed_logits(model: Any, pack: Pack) -> torch.Tensor:
    """Return the logits (answer tokens, vocabulary) of a pack's answers, as the base gives them."""
    asked = {"input_ids": pack.input_ids, "position_ids": pack.position_ids, "logits_to_keep": pack.answer_positions}
    at = {name: value.to(model.device) for name, value in asked.items()}
    return torch.as_tensor(model(**at, packing=pack.layout.to(model.device), use_cache=False).logits[0].float())


def plain_logits(model: Any, row: TokenRow) -> torch.Tensor:
    """Return the logits (answer tokens, vocabulary) of a row's answer by the base's own attention."""
    config = model.config
    ids = torch.tensor([row.prompt_ids + row.answer_ids], device=model.device)
    config._attn_implementation = "sdpa"
    try:
        logits = model(input_ids=ids, use_cache=False).logits
    finally:
        config._attn_implementation = NAME
    return torch.as_tensor(logits[0, len(row.prompt_ids) - 1 : -1].float())
