"""What is decided once per fit, with its reason: number format and pack size. A resumed fit keeps what was decided, or its bits would differ."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tasks.inference.precision import Precision, best_precision
from tasks.progress import Audience
from tasks.training.memory import activation_bytes, pack_capacity, room_for_packs
from tasks.training.packing import Lesson, own_length

if TYPE_CHECKING:
    from schemas.config import TrainingConfig

DECISIONS = "decisions.json"


@dataclass(frozen=True)
class Decisions:
    """Where and how the passes are computed."""

    device: str
    dtype: str
    capacity: int

    @property
    def torch_dtype(self) -> torch.dtype:
        """The number format of products."""
        return {"bf16": torch.bfloat16, "fp32": torch.float32}[self.dtype]


def decide(folder: Path, base: Path, training: TrainingConfig, config: Any, lesson: Lesson, audience: Audience, precision: Precision | None) -> Decisions:
    """Return the decisions of this fit, made now or when it was first started, and say them with their reasons."""
    path = folder / DECISIONS
    if path.exists():
        return Decisions(**json.loads(path.read_text(encoding="utf-8")))
    chosen = precision or best_precision()
    per_token = activation_bytes(config, 2 if chosen.name == "bf16" else 4)
    lengths = [lesson.prefix + sum(own_length(lesson.rows[index], lesson.prefix) for index in step.rows) for step in lesson.steps]
    longest = max(row.tokens for row in [*lesson.rows, *lesson.validation])
    room = room_for_packs(base, training.method, chosen.device)
    decisions = Decisions(chosen.device, chosen.name, pack_capacity(chosen.device, per_token, room, longest, lengths))
    audience.say(f"{training.method} in {chosen.name} on {chosen.device}: {chosen.reason}")
    audience.say(_packing_line(lesson, decisions.capacity, per_token, room))
    audience.say("compile: off; it would save a tenth of each step after minutes of compiling (docs/decisions/0005)")
    _write(path, decisions.__dict__)
    return decisions


def remember_capacity(folder: Path, capacity: int) -> None:
    """Have this fit go on with packs of this size, also when it is resumed."""
    path = folder / DECISIONS
    _write(path, json.loads(path.read_text(encoding="utf-8")) | {"capacity": capacity})


def _write(path: Path, decisions: dict[str, Any]) -> None:
    aside = path.with_suffix(".aside")
    aside.write_text(json.dumps(decisions), encoding="utf-8")
    aside.replace(path)


def _packing_line(lesson: Lesson, capacity: int, per_token: int, room: int) -> str:
    counts = [lesson.packs_of(position, capacity) for position in range(min(len(lesson.steps), 50))]
    packs = sum(len(step) for step in counts)
    computed = sum(pack for step in counts for pack in step)
    row_tokens = sum(lesson.rows[index].tokens for step in lesson.steps[: len(counts)] for index in step.rows)
    needed = f"{capacity * per_token / 2**30:.1f} of {room / 2**30:.1f} GiB that it may take"
    micro = f"micro-batch: packs of at most {capacity:,} tokens ({needed}), {packs / len(counts):.1f} a step"
    shares = f"packing: {computed:,} computed for {row_tokens:,} row tokens ({computed / row_tokens:.0%}), a prefix of {lesson.prefix} tokens once a pack"
    return f"{micro}; {shares}"
