"""One forward and backward pass of the largest pack before the first step shows that what was estimated does fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from tasks.reuse.memory import hand_back, is_out_of_memory
from tasks.training.running.decisions import Decisions, remember_capacity
from tasks.training.running.out_of_memory import halved
from tasks.training.step.loss import AnswerHead, pack_loss
from tasks.training.step.packing import Pack, TrainingDataset, pack_rows

if TYPE_CHECKING:
    from schemas.sections.training import TrainingConfig
    from tasks.reuse.stage import WorkDirectory

# Steps that are searched for the largest pack; the longest row is tried in any case.
SEARCHED = 1000


def confirmed_capacity(
    model: Any,
    head: AnswerHead,
    dataset: TrainingDataset,
    training: TrainingConfig,
    decisions: Decisions,
    workdir: WorkDirectory,
) -> int:
    """Return the tokens of a pack with which the largest pack passes forward and backward: what was decided, halved as
    often as memory runs out. Several processes keep what was decided: different sizes would make them wait for each
    other for ever.

    Raises:
        MachineLacks: not even a single row fits.
    """
    capacity = decisions.capacity
    if training.devices > 1:
        return capacity
    model.train()
    while not _fits(model, head, pack := largest_pack(dataset, capacity), decisions.has_autocast(training)):
        smaller, tokens = halved([pack], capacity), pack.input_ids.shape[1]
        workdir.reporter.say(f"probe: out of memory with a pack of {tokens:,} tokens; trying {smaller:,}")
        capacity = smaller
    workdir.reporter.say(f"probe: the largest pack ({pack.input_ids.shape[1]:,} tokens) fits, forward and backward")
    remember_capacity(workdir.folder, capacity)
    return capacity


def _fits(model: Any, head: AnswerHead, pack: Pack, has_autocast: bool) -> bool:
    try:
        with torch.autocast(model.device.type, torch.bfloat16, enabled=has_autocast):
            loss = pack_loss(model, head, pack, model.device)
        loss.backward()
        fits = True
    except (MemoryError, RuntimeError) as fault:
        if not is_out_of_memory(fault):
            raise
        fits = False
    # Behind the except block: the error's frames hold what was computed.
    loss = None
    model.zero_grad()
    hand_back()
    return fits


def largest_pack(dataset: TrainingDataset, capacity: int) -> Pack:
    """Return the pack with the most input tokens that a step makes at this capacity."""
    steps = range(min(len(dataset.steps), SEARCHED))
    step = max(steps, key=lambda position: max(dataset.pack_sizes(position, capacity)))
    longest = max(dataset.rows, key=lambda row: row.tokens)
    packs = [
        *pack_rows(dataset.rows_of(step), dataset.prefix, capacity),
        *pack_rows([longest], dataset.prefix, capacity),
    ]
    return max(packs, key=lambda pack: int(pack.input_ids.shape[1]))
