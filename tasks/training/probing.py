"""One pass forward and back on the largest pack before the first step: what was estimated to fit is seen to fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tasks.memory import hand_back
from tasks.training.loss import AnswerHead
from tasks.training.packing import Lesson, Pack, pack_rows
from tasks.training.passes import pack_loss
from tasks.training.shrinking import halved, is_out_of_memory

# Steps that are searched for the largest pack; the longest row is looked at in any case.
SEARCHED = 1000


def confirmed_capacity(model: Any, head: AnswerHead, lesson: Lesson, capacity: int, has_autocast: bool, say: Callable[[str], None]) -> int:
    """Return a pack size with which the largest pack goes through a forward and a backward pass: `capacity`, or half of it as often as memory runs out.

    Raises:
        MachineLacks: not even one row goes through.
    """
    model.train()
    while True:
        pack = largest_pack(lesson, capacity)
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


def largest_pack(lesson: Lesson, capacity: int) -> Pack:
    """Return the pack with the most input tokens that a step makes at this capacity."""
    sizes = [max(lesson.packs_of(position, capacity)) for position in range(min(len(lesson.steps), SEARCHED))]
    longest = max(range(len(lesson.rows)), key=lambda index: lesson.rows[index].tokens)
    rows = [lesson.rows[index] for index in lesson.steps[sizes.index(max(sizes))].rows]
    packs = [*pack_rows(rows, lesson.prefix, capacity), *pack_rows([lesson.rows[longest]], lesson.prefix, capacity)]
    return max(packs, key=lambda pack: int(pack.input_ids.shape[1]))


def _clear(model: Any) -> None:
    model.zero_grad()
    hand_back()
