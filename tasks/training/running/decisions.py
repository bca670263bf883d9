"""What is decided once per fit, with its reason: number format, pack size, checkpointing. A resumed fit keeps what was
decided, or its bits would differ.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from schemas.errors import MachineLacks
from tasks.inference.precision import Precision, best_precision
from tasks.training.running.memory import (
    Estimate,
    Pack,
    estimate,
    holes,
    in_gigabytes,
    pack_capacity,
    read_shape,
    resident_bytes,
    room_for_packs,
    token_bytes,
)  # fmt: skip
from tasks.training.running.remembering import known_limit, note_floor, size_key
from tasks.training.step.kernels import kernels_line
from tasks.training.step.packing import TrainingDataset, own_length

if TYPE_CHECKING:
    from schemas.training_config import TrainingConfig
    from tasks.reuse.stage import WorkDirectory
    from tasks.training.running.memory import Shape

DECISIONS = "decisions.json"


@dataclass(frozen=True)
class Decisions:
    """Where and how the passes are computed; `checkpointing`: layers are computed again in the backward pass instead of
    being kept.
    """

    device: str
    dtype: str
    capacity: int
    checkpointing: bool = False

    @property
    def torch_dtype(self) -> torch.dtype:
        """The number format of products."""
        return {"bf16": torch.bfloat16, "fp32": torch.float32}[self.dtype]


def decide(
    workdir: WorkDirectory, base: Path, training: TrainingConfig, dataset: TrainingDataset, precision: Precision | None
) -> Decisions:
    """Return the decisions of this fit, made now or when it was first started, and say them with their reasons.

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
    longest = max(row.tokens for row in [*dataset.rows, *dataset.validation])
    checkpointing, why = choose_checkpointing(training, shape, chosen, usual.row, longest, room)
    per_token = int(
        holes(training.method, chosen.name, chosen.device)
        * token_bytes(shape, training, chosen.name, usual.row, is_checkpointed=checkpointing)
    )
    limit = known_limit(workdir.store, size_key(base, training, longest, chosen.device))
    capacity = pack_capacity(chosen.device, per_token, room, longest, _step_lengths(dataset))
    decisions = Decisions(chosen.device, chosen.name, min(capacity, limit or capacity), checkpointing)
    pack = Pack(decisions.capacity, usual.answers * decisions.capacity // usual.tokens, usual.row)
    expected = estimate(shape, training, chosen.name, chosen.device, pack, is_checkpointed=checkpointing)
    remembered = "; memory ran out with larger packs here before" if limit and limit < capacity else ""
    workdir.reporter.say(f"{training.method} in {chosen.name} on {chosen.device}: {chosen.reason}")
    workdir.reporter.say(_packing_line(dataset, decisions.capacity, expected, room) + remembered)
    workdir.reporter.say(memory_line(expected))
    workdir.reporter.say(f"checkpointing: {why}")
    if training.method != "full":
        workdir.reporter.say(kernels_line(chosen.device))
    workdir.reporter.say(
        "compile: off; it would save a tenth of each step after minutes of compiling (docs/decisions/0005)"
    )
    _write(path, decisions.__dict__)
    return decisions


def refuse_without_card(optimizer: str, device: str) -> None:
    """Refuse an optimiser whose states are 8-bit or paged where there is no CUDA card.

    Raises:
        MachineLacks: the optimiser needs a card.
    """
    if optimizer != "adamw" and device != "cuda":
        raise MachineLacks(
            f'training.optimizer "{optimizer}" needs a CUDA card, and this machine trains on its {device}. Set '
            '"adamw", or train on a GPU worker.'
        )


def choose_checkpointing(
    training: TrainingConfig, shape: Shape, precision: Precision, row: int, longest: int, room: int
) -> tuple[bool, str]:
    """Tell whether layers are computed again instead of being kept, and why."""
    if training.gradient_checkpointing != "auto":
        return training.gradient_checkpointing == "always", f"{training.gradient_checkpointing}, as the config says"
    needed = int(
        holes(training.method, precision.name, precision.device)
        * longest
        * token_bytes(shape, training, precision.name, row)
    )
    compared = f"the longest row needs {in_gigabytes(needed)} for its passes, and {in_gigabytes(room)} may be taken"
    return (True, f"on: {compared}") if needed > room else (False, f"off: {compared}")


def usual_pack(dataset: TrainingDataset) -> Pack:
    """Return all rows as if they were one pass, with the mean row's tokens: what shares of tokens are taken from."""
    rows = dataset.rows
    tokens = dataset.prefix + sum(own_length(row, dataset.prefix) for row in rows)
    return Pack(max(1, tokens), sum(len(row.answer_ids) for row in rows), sum(row.tokens for row in rows) // len(rows))


def _step_lengths(dataset: TrainingDataset) -> list[int]:
    return [
        dataset.prefix + sum(own_length(dataset.rows[index], dataset.prefix) for index in step.rows)
        for step in dataset.steps
    ]


def remember_capacity(folder: Path, capacity: int) -> None:
    """Have this fit go on with packs of this size, also when it is resumed."""
    path = folder / DECISIONS
    _write(path, json.loads(path.read_text(encoding="utf-8")) | {"capacity": capacity})


def _write(path: Path, decisions: dict[str, Any]) -> None:
    aside = path.with_suffix(".aside")
    aside.write_text(json.dumps(decisions), encoding="utf-8")
    aside.replace(path)


def memory_line(expected: Estimate) -> str:
    """Return the estimate in words, by its parts."""
    floor = resident_bytes()
    parts = ("weights", "adapter", "gradients", "optimizer", "activations", "logits", "holes")
    named = ", ".join(f"{part} {getattr(expected, part) / 1e9:.2f}" for part in parts if getattr(expected, part))
    return (
        f"memory: about {in_gigabytes(floor + expected.total)} at its peak, {floor / 1e9:.2f} of them held already "
        f"({named})"
    )


def _packing_line(dataset: TrainingDataset, capacity: int, expected: Estimate, room: int) -> str:
    counts = [dataset.packs_of(position, capacity) for position in range(min(len(dataset.steps), 50))]
    packs = sum(len(step) for step in counts)
    computed = sum(pack for step in counts for pack in step)
    row_tokens = sum(dataset.rows[index].tokens for step in dataset.steps[: len(counts)] for index in step.rows)
    needed = f"{in_gigabytes(expected.total - expected.held)} of {in_gigabytes(room)} that it may take"
    micro = f"micro-batch: packs of at most {capacity:,} tokens ({needed}), {packs / len(counts):.1f} a step"
    shares = (
        f"packing: {computed:,} computed for {row_tokens:,} row tokens ({computed / row_tokens:.0%}), a prefix of "
        f"{dataset.prefix} tokens once a pack"
    )
    return f"{micro}; {shares}"
