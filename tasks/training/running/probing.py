"""One pass forward and back on the largest pack before the first step: what was estimated to fit is seen to fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tasks.reuse.memory import hand_back
from tasks.training.running.shrinking import halved, is_out_of_memory
from tasks.training.step.loss import AnswerHead
from tasks.training.step.packing import Pack, TrainingDataset, pack_rows
from tasks.training.step.passes import pack_loss

# Steps that are searched for the largest pack; the longest row is looked at in any case.
SEARCHED = 1000


def confirmed_capacity(
    model: Any,
    head: AnswerHead,
    dataset: TrainingDataset,
    capacity: int,
    has_autocast: bool,
    say: Callable[[str], None],
) -> int:
    """Return a pack size with which the largest pack goes through a forward and a backward pass: `capacity`, or half of
    it as often as memory runs out.

    Raises:
        MachineLacks: not even one row goes through.
    """
    model.train()
    while True:
        pack = largest_pack(dataset, capacity)
        try:
            with torch.autocast(model.device.type, torch.bfloat16, enabled=has_autocast):
                loss = pack_loss(model, head, pack, model.device)
            loss.backward()
        except (MemoryError, RuntimeError) as fault:
            if not is_out_of_memory(fault):
                raise
        else:
            say(f"probe: the largest pack ({pack.input_ids.shape[1]:,} tokens) went forward and back")
            _clear(model)
            return capacity
        _clear(model)
        smaller = halved([pack], capacity)
        say(f"probe: memory ran out with {pack.input_ids.shape[1]:,} tokens in a pack; tries {smaller:,}")
        capacity = smaller


def largest_pack(dataset: TrainingDataset, capacity: int) -> Pack:
    """Return the pack with the most input tokens that a step makes at this capacity."""
    sizes = [max(dataset.packs_of(position, capacity)) for position in range(min(len(dataset.steps), SEARCHED))]
    longest = max(range(len(dataset.rows)), key=lambda index: dataset.rows[index].tokens)
    rows = [dataset.rows[index] for index in dataset.steps[sizes.index(max(sizes))].rows]
    packs = [*pack_rows(rows, dataset.prefix, capacity), *pack_rows([dataset.rows[longest]], dataset.prefix, capacity)]
    return max(packs, key=lambda pack: int(pack.input_ids.shape[1]))


def _clear(model: Any) -> None:
    model.zero_grad()
    hand_back()
