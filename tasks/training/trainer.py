"""transformers' Trainer with our batches: one item is one optimiser step, made of packs whose losses add up token by token."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import Trainer, TrainerCallback, TrainingArguments

from schemas.errors import TrainingStopped
from tasks.memory import hand_back, trim
from tasks.progress import Audience
from tasks.training.decisions import remember_capacity
from tasks.training.loss import AnswerHead
from tasks.training.packing import Lesson, Pack, pack_rows
from tasks.training.passes import pack_loss
from tasks.training.resuming import keep_newest, newest_whole, step_folder, write_whole
from tasks.training.rows import TokenRow
from tasks.training.shrinking import halved, is_out_of_memory
from tasks.training.stopping import Stop

Result = TypeVar("Result")
WARMUP = 0.05
CLIP = 1.0
STEPS_BETWEEN_TRIMS = 10  # at every step a trim would cost 12% of the time


def arguments(folder: Path, learning_rate: float, steps: int, seed: int, is_cpu: bool, has_autocast: bool) -> TrainingArguments:
    """Return the Trainer's settings: AdamW, cosine with a short warm-up, clipped gradients; saving, logging and evaluating are ours."""
    return TrainingArguments(
        output_dir=str(folder),
        seed=seed,
        use_cpu=is_cpu,
        bf16=has_autocast,
        num_train_epochs=1,
        per_device_train_batch_size=1,
        optim="adamw_torch",
        weight_decay=0.0,
        max_grad_norm=CLIP,
        learning_rate=learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=min(steps - 1, math.ceil(WARMUP * steps)),
        save_strategy="no",
        eval_strategy="no",
        logging_strategy="no",
        logging_nan_inf_filter=False,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )


class PackedSteps:
    """The optimiser steps as a data set: item N is the list of packs of step N."""

    def __init__(self, lesson: Lesson, capacity: int) -> None:
        self.lesson, self.capacity = lesson, capacity

    def __len__(self) -> int:
        """Number of optimiser steps of all epochs."""
        return len(self.lesson.steps)

    def __getitem__(self, position: int) -> list[Pack]:
        """Return the packs of one optimiser step."""
        rows = [self.lesson.rows[index] for index in self.lesson.steps[position].rows]
        return pack_rows(rows, self.lesson.prefix, self.capacity)


class PackedTrainer(Trainer):
    """Trains on packs, evaluates on held-out train groups, and saves so that nothing is lost."""

    def __init__(self, model: Any, args: TrainingArguments, lesson: Lesson, capacity: int, head: AnswerHead, folder: Path, pace: Pace) -> None:
        super().__init__(model=model, args=args, train_dataset=PackedSteps(lesson, capacity), callbacks=[pace])
        self.lesson, self.head, self.folder, self.audience = lesson, head, folder, pace.audience
        self.held_out = pack_rows(lesson.validation, lesson.prefix, capacity)
        self.batch: list[Pack] = []

    def get_train_dataloader(self) -> Any:
        """Return the steps in their order."""
        return torch.utils.data.DataLoader(self.train_dataset, batch_size=1, shuffle=False, collate_fn=lambda items: items[0])

    def training_step(self, model: Any, inputs: list[Pack], num_items_in_batch: Any = None) -> torch.Tensor:
        """Compute the gradients of one optimiser step; where memory runs out, with smaller packs of the same rows."""
        model.train()
        rows = [self.lesson.rows[index] for index in self.lesson.steps[self.state.global_step].rows]
        loss = self._within_memory(lambda packs: self._add_up(model, packs), inputs, rows)
        self._note_step(loss, inputs)
        return loss

    def _add_up(self, model: Any, packs: list[Pack]) -> torch.Tensor:
        """Add up the gradients of a step's packs; each answer token weighs the same, whichever pack it is in."""
        self.batch = packs
        answers = sum(len(pack.labels) for pack in packs)
        total = torch.zeros((), device=self.args.device)
        for pack in packs:
            loss = self.pack_loss(model, pack) / answers
            self._stop_unless_finite(loss, [pack], "loss")
            self.accelerator.backward(loss)
            total += loss.detach()
        return total

    def _within_memory(self, compute: Callable[[list[Pack]], Result], packs: list[Pack], rows: Sequence[TokenRow]) -> Result:
        """Compute over packs of these rows, and again from the beginning with smaller ones as long as memory runs out."""
        while True:
            try:
                return compute(packs)
            except (MemoryError, RuntimeError) as fault:
                if not is_out_of_memory(fault):
                    raise
            # Behind the except block: the error's frames hold what was computed.
            self.model.zero_grad()
            hand_back()
            self._shrink(halved(packs, self.train_dataset.capacity))
            packs = pack_rows(rows, self.lesson.prefix, self.train_dataset.capacity)

    def _shrink(self, capacity: int) -> None:
        step, before = self.state.global_step + 1, self.train_dataset.capacity
        self.audience.say(f"memory ran out at step {step}: packs of at most {capacity:,} tokens instead of {before:,}, with the same rows a step; goes on")
        self.train_dataset.capacity = capacity
        self.held_out = pack_rows(self.lesson.validation, self.lesson.prefix, capacity)
        remember_capacity(self.folder, capacity)

    def pack_loss(self, model: Any, pack: Pack) -> torch.Tensor:
        """Return the summed loss of a pack's answer tokens."""
        return pack_loss(model, self.head, pack, self.args.device)

    def _note_step(self, loss: torch.Tensor, packs: list[Pack]) -> None:
        step = self.state.global_step + 1
        done, tokens = self.lesson.steps[step - 1].done, sum(pack.row_tokens for pack in packs)
        entry = {"step": step, "epoch": done, "loss": round(loss.item(), 6), "learning_rate": self._get_learning_rate(), "tokens": tokens}
        self.state.log_history.append(entry)

    def _clip_grad_norm(self, model: Any) -> Any:
        norm = super()._clip_grad_norm(model)
        self._stop_unless_finite(torch.as_tensor(norm), self.batch, "gradient")
        return norm

    def _stop_unless_finite(self, value: torch.Tensor, packs: list[Pack], what: str) -> None:
        if torch.isfinite(value).all():
            return
        rows = ", ".join(str(row) for pack in packs for row in pack.row_ids)
        checkpoint = newest_whole(self.folder)
        last = f"The last good checkpoint is {checkpoint.name}, and it is kept" if checkpoint else "There is no checkpoint yet"
        raise TrainingStopped(
            f"The {what} of step {self.state.global_step + 1} is not a finite number ({value.item()}), at rows {rows}. {last}. "
            f"Lower training.learning_rate (now {self.args.learning_rate:g}), or look at these rows."
        )

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Measure the mean loss over held-out answer tokens, keep the weights if they are the best, stop when patience is at its end."""
        model = self.model
        model.eval()
        with torch.no_grad():
            total = self._within_memory(lambda packs: sum(self.pack_loss(model, pack).item() for pack in packs), self.held_out, self.lesson.validation)
        loss = total / sum(len(row.answer_ids) for row in self.lesson.validation)
        step = self.state.global_step
        self.state.log_history.append({"step": step, "epoch": self.lesson.steps[step - 1].done, "validation_loss": round(loss, 6)})
        if self.state.best_metric is None or loss < self.state.best_metric:
            self.state.best_metric, self.state.best_global_step = loss, step
            self._keep_best()
        self.control.should_training_stop |= is_out_of_patience(self.state.log_history, self.lesson.patience)
        return {"eval_loss": loss}

    def _keep_best(self) -> None:
        def write(aside: Path) -> Path:
            self._save(str(aside))
            return aside

        write_whole(self.folder, self.folder / step_folder("best", self.state.global_step), write, self.audience.say)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)
        for unwanted in ("training_args.bin", "README.md"):
            (Path(output_dir or "") / unwanted).unlink(missing_ok=True)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        def write(aside: Path) -> Path:
            self.args.output_dir = str(aside)
            super(PackedTrainer, self)._save_checkpoint(model, trial)
            return next(aside.iterdir())

        write_whole(self.folder, self.folder / "checkpoints" / step_folder("step", self.state.global_step), write, self.audience.say)
        keep_newest(self.folder / "checkpoints", "step-*")
        keep_newest(self.folder, "best-*")

    def log(self, *_: Any, **__: Any) -> None:
        """Leave the Trainer's own log out: it holds seconds."""

    def floating_point_ops(self, inputs: Any) -> int:
        """Leave the Trainer's estimate out: it does not know packs."""
        return 0

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: Any) -> None:
        return None


def is_out_of_patience(log: Sequence[dict[str, Any]], patience: int) -> bool:
    """Tell whether the last `patience` validation losses are all no better than the best one before them."""
    losses = [entry["validation_loss"] for entry in log if "validation_loss" in entry]
    return bool(losses) and len(losses) - 1 - losses.index(min(losses)) >= patience


class Pace(TrainerCallback):
    """Decides when to evaluate and to save, and tells how far training is."""

    def __init__(self, lesson: Lesson, minutes: float, audience: Audience, stop: Stop) -> None:
        self.lesson, self.minutes, self.audience, self.stop = lesson, minutes, audience, stop
        self.saved = time.monotonic()
        self.ticks: list[tuple[float, int]] = [(self.saved, 0)]

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Ask for validation at the end of an epoch, for a checkpoint then or when its time has come, and for the end when someone asked for it."""
        if state.global_step % STEPS_BETWEEN_TRIMS == 0:
            trim()
        now = time.monotonic()
        ends = self.lesson.steps[state.global_step - 1].is_epoch_end
        control.should_evaluate = ends and bool(self.lesson.validation)
        control.should_save = ends or self.stop.is_asked or now - self.saved > self.minutes * 60
        control.should_training_stop |= self.stop.is_asked
        entry = state.log_history[-1]
        self.ticks = [*self.ticks[-20:], (now, self.ticks[-1][1] + entry["tokens"])]
        (since, before), (until, after) = self.ticks[0], self.ticks[-1]
        rate = (after - before) / max(until - since, 1e-9)
        self.audience.advance(state.global_step, len(self.lesson.steps), f"loss {entry['loss']:.2f} · {rate:,.0f} tokens/s")

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock of the next checkpoint."""
        self.saved = time.monotonic()
