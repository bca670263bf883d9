"""What is decided once per fit, with its reason: number format, pack size, activation checkpointing. A resumed fit
keeps what was decided, or its numbers would change.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tasks.inference.precision import Precision, best_precision
from tasks.training.running.machine_notes import known_limit, note_floor, note_limit, size_key
from tasks.training.running.memory import (
    Estimate,
    Pack,
    estimate,
    holes,
    in_gigabytes,
    pack_capacity,
    resident_bytes,
    room_for_packs,
    token_bytes,
)
from tasks.training.shape import read_shape
from tasks.training.step.kernels import kernels_line
from tasks.training.step.packing import TrainingDataset, own_length
from tasks.training.suitability import refuse_without_card

if TYPE_CHECKING:
    from schemas.sections.training import TrainingConfig
    from tasks.reuse.stage import WorkDirectory
    from tasks.training.shape import Shape

DECISIONS = "decisions.json"


@dataclass(frozen=True)
class Decisions:
    """Where and how a pass is computed: device, number format, the tokens of a pack, and whether layers are computed
    again in the backward pass instead of being kept.
    """

    device: str
    dtype: str
    capacity: int
    checkpointing: bool = False

    @property
    def torch_dtype(self) -> torch.dtype:
        """The number format of matrix products."""
        return {"bf16": torch.bfloat16, "fp32": torch.float32}[self.dtype]

    def has_autocast(self, training: TrainingConfig) -> bool:
        """Return whether fp32 weights are multiplied in bf16: in full fine-tuning, where bf16 pays."""
        return training.method == "full" and self.dtype == "bf16"


def decide(
    workdir: WorkDirectory, base: Path, training: TrainingConfig, dataset: TrainingDataset, precision: Precision | None
) -> Decisions:
    """Return the decisions of this fit: those of its first start, or new ones, which are reported with their reasons.

    Raises:
        MachineLacks: the config asks for an optimiser that needs a CUDA card, and there is none.
    """
    path = workdir.folder / DECISIONS
    if path.exists():
        return Decisions(**json.loads(path.read_text(encoding="utf-8")))
    chosen = precision or best_precision()
    refuse_without_card(training.optimizer, chosen.device)
    note_floor(workdir.store, resident_bytes())
    shape, usual = read_shape(base), usual_pack(dataset)
    room = room_for_packs(estimate(shape, training, chosen.name, chosen.device, usual).held, chosen.device)
    longest = dataset.longest_row
    checkpointing, why = choose_checkpointing(training, shape, chosen, usual.row, longest, room)
    each = token_bytes(shape, training, chosen.name, usual.row, is_checkpointed=checkpointing)
    per_token = int(holes(training.method, chosen.name, chosen.device) * each)
    limit = known_limit(workdir.store, size_key(base, training, longest, chosen.device))
    longest_step = max(map(dataset.tokens_of, range(len(dataset.steps))))
    capacity = pack_capacity(chosen.device, per_token, room, longest, longest_step)
    decisions = Decisions(chosen.device, chosen.name, min(capacity, limit or capacity), checkpointing)
    pack = Pack(decisions.capacity, usual.answers * decisions.capacity // usual.tokens, usual.row)
    expected = estimate(shape, training, chosen.name, chosen.device, pack, is_checkpointed=checkpointing)
    remembered = "; larger packs ran out of memory here before" if limit and limit < capacity else ""
    say = workdir.reporter.say
    say(f"{training.method} in {chosen.name} on {chosen.device}: {chosen.reason}")
    say(_packing_line(dataset, decisions.capacity, expected, room) + remembered)
    say(memory_line(expected, resident_bytes() if chosen.device == "cpu" else 0))
    say(f"checkpointing: {why}")
    if training.method != "full":
        say(kernels_line(chosen.device))
    if chosen.device == "cpu":
        say("compile: off; it would make steps a tenth faster after minutes of compiling (docs/decisions/0005)")
    _write(path, decisions.__dict__)
    return decisions


def choose_checkpointing(
    training: TrainingConfig, shape: Shape, precision: Precision, row: int, longest: int, room: int
) -> tuple[bool, str]:
    """Return whether layers are computed again instead of being kept, and why."""
    if training.gradient_checkpointing != "auto":
        return training.gradient_checkpointing == "always", f"{training.gradient_checkpointing}, as configured"
    wasted = holes(training.method, precision.name, precision.device)
    needed = int(wasted * longest * token_bytes(shape, training, precision.name, row))
    compared = f"the longest row needs {in_gigabytes(needed)} for a pass, of {in_gigabytes(room)} available"
    return (True, f"on: {compared}") if needed > room else (False, f"off: {compared}")


def usual_pack(dataset: TrainingDataset) -> Pack:
    """Return all rows as if they were one pass, with the mean row's tokens: the shares of tokens in a usual pack."""
    rows = dataset.rows
    tokens = dataset.prefix + sum(own_length(row, dataset.prefix) for row in rows)
    return Pack(max(1, tokens), sum(len(row.answer_ids) for row in rows), sum(row.tokens for row in rows) // len(rows))


def remember_capacity(folder: Path, capacity: int) -> None:
    """Note packs of this size as this fit's decision, also for when it is resumed."""
    path = folder / DECISIONS
    _write(path, json.loads(path.read_text(encoding="utf-8")) | {"capacity": capacity})


def note_smaller_packs(
    workdir: WorkDirectory, base: Path, training: TrainingConfig, dataset: TrainingDataset, decisions: Decisions
) -> None:
    """Note for later fits of this kind on this machine that packs had to become smaller than was decided; a fit in
    several processes, which share the memory, says nothing about others.
    """
    capacity = json.loads((workdir.folder / DECISIONS).read_text(encoding="utf-8"))["capacity"]
    if training.devices == 1 and capacity < decisions.capacity:
        note_limit(workdir.store, size_key(base, training, dataset.longest_row, decisions.device), capacity)


def _write(path: Path, decisions: dict[str, Any]) -> None:
    aside = path.with_suffix(".aside")
    aside.write_text(json.dumps(decisions), encoding="utf-8")
    aside.replace(path)


def memory_line(expected: Estimate, floor: int) -> str:
    """Return the estimate in words, by its parts; `floor` is what the process takes up on the device already."""
    parts = ("weights", "adapter", "gradients", "optimizer", "activations", "logits", "fragmentation")
    named = ", ".join(f"{part} {getattr(expected, part) / 1e9:.2f}" for part in parts if getattr(expected, part))
    peak = in_gigabytes(floor + expected.total)
    return f"memory: about {peak} at the peak, of which the process takes up {floor / 1e9:.2f} already ({named})"


def _packing_line(dataset: TrainingDataset, capacity: int, expected: Estimate, room: int) -> str:
    packs = computed = row_tokens = 0
    steps = min(len(dataset.steps), 50)
    for position in range(steps):
        sizes = dataset.pack_sizes(position, capacity)
        packs += len(sizes)
        computed += sum(sizes)
        row_tokens += sum(row.tokens for row in dataset.rows_of(position))
    needed = f"{in_gigabytes(expected.total - expected.held)} of {in_gigabytes(room)} available"
    size = f"micro-batch: packs of at most {capacity:,} tokens ({needed}), {packs / steps:.1f} a step"
    done = f"{computed:,} tokens computed for {row_tokens:,} row tokens ({computed / row_tokens:.0%})"
    return f"{size}; packing: {done}, the shared prefix of {dataset.prefix} tokens once a pack"
