"""transformers' Trainer on packed rows: an item is a step, made of packs whose losses add up token by token."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from transformers import Trainer, TrainingArguments, set_seed

from schemas.errors import TrainingStopped
from tasks.reuse.memory import hand_back, is_out_of_memory
from tasks.training.adapters.methods import OPTIMIZERS
from tasks.training.rows import TokenRow
from tasks.training.running.callback import StepCallback
from tasks.training.running.checkpoints import keep_newest, newest_whole, read_state, step_folder, write_whole
from tasks.training.running.decisions import Decisions, remember_capacity
from tasks.training.running.out_of_memory import StartAgain, halved
from tasks.training.running.preferences import Preferences
from tasks.training.running.stopping import Stop, is_out_of_patience
from tasks.training.step.loss import AnswerHead, pack_loss
from tasks.training.step.packing import Pack, TrainingDataset, pack_rows, share_rows
from tasks.training.step.roofline import matmul_roofline

if TYPE_CHECKING:
    from schemas.sections.training import TrainingConfig
    from tasks.reuse.stage import WorkDirectory

Result = TypeVar("Result")
WARMUP = 0.05
CLIP = 1.0


def arguments(folder: Path, training: TrainingConfig, decisions: Decisions, steps: int, seed: int) -> TrainingArguments:
    """Return the Trainer's settings: AdamW, cosine, short warm-up, clipped gradients; the rest is done here."""
    chosen = TrainingArguments(
        output_dir=str(folder),
        seed=seed,
        use_cpu=decisions.device == "cpu",
        ddp_find_unused_parameters=False,
        ddp_broadcast_buffers=False,
        bf16=decisions.has_autocast(training),
        num_train_epochs=1,
        per_device_train_batch_size=1,
        optim=OPTIMIZERS[training.optimizer],
        weight_decay=0.0,
        max_grad_norm=CLIP,
        learning_rate=training.learning_rate,
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
    chosen._n_gpu = min(chosen.n_gpu, 1)  # one process has one card, however many there are: no nn.DataParallel
    return chosen


class PackedSteps:
    """The optimiser steps as a dataset: item N is the list of packs of step N that this process computes."""

    def __init__(self, dataset: TrainingDataset, capacity: int, rank: int, processes: int) -> None:
        self.dataset, self.capacity, self.rank, self.processes = dataset, capacity, rank, processes

    def __len__(self) -> int:
        """Number of optimiser steps of all epochs."""
        return len(self.dataset.steps)

    def __getitem__(self, position: int) -> list[Pack]:
        """Return this process's packs of one optimiser step."""
        return self.packs_of(self.dataset.rows_of(position))

    def packs_of(self, rows: Sequence[TokenRow]) -> list[Pack]:
        """Return this process's packs of these rows."""
        if self.processes == 1 or not rows:
            return pack_rows(rows, self.dataset.prefix, self.capacity)
        return share_rows(rows, self.dataset.prefix, self.capacity, self.processes)[self.rank]


class PackedTrainer(Trainer):
    """Trains on packs, validates on held-out train groups, saves so that nothing is lost; stops on `stop`."""

    def __init__(
        self, model: Any, head: AnswerHead, dataset: TrainingDataset, training: TrainingConfig, decisions: Decisions,
        capacity: int, seed: int, workdir: WorkDirectory, stop: Stop | None = None,
    ) -> None:  # fmt: skip
        self.dataset, self.head, self.folder, self.reporter = dataset, head, workdir.folder, workdir.reporter
        self.stop = stop or threading.Event()
        args = arguments(workdir.folder, training, decisions, len(dataset.steps), seed)
        roofline = matmul_roofline(model, dataset.rows, decisions.torch_dtype)
        callback = StepCallback(dataset, training.checkpoint_minutes, workdir.reporter, self.stop, roofline)
        steps = PackedSteps(dataset, capacity, args.process_index, args.world_size)
        set_seed(seed)
        super().__init__(model=model, args=args, train_dataset=steps, callbacks=[callback])
        self.held_out = steps.packs_of(dataset.validation)
        self.batch: Sequence[TokenRow] = []
        self.preferences = Preferences.of(training, workdir.folder)

    def resume(self, checkpoint: Path | None) -> None:
        """Train to the end, from a checkpoint where there is one."""
        if checkpoint:
            done = read_state(checkpoint)["global_step"]
            self.reporter.say(f"resumes after step {done} of {len(self.dataset.steps)}, from its checkpoint")
        self.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)

    def get_train_dataloader(self) -> Any:
        """Return the steps in their order."""
        return torch.utils.data.DataLoader(
            self.train_dataset, batch_size=1, shuffle=False, collate_fn=lambda items: items[0]
        )

    def training_step(self, model: Any, inputs: list[Pack], num_items_in_batch: Any = None) -> torch.Tensor:
        """Compute the gradients of one optimiser step; when memory runs out, with smaller packs of the same rows."""
        model.train()
        if self.preferences is not None:
            self.preferences.start(model, self, [*self.dataset.rows, *self.dataset.validation])
        rows = self.dataset.rows_of(self.state.global_step)
        loss = self._within_memory(lambda packs: self._add_up(model, packs, rows), inputs, rows)
        self._note_step(loss, rows)
        return loss

    def _add_up(self, model: Any, packs: list[Pack], rows: Sequence[TokenRow]) -> torch.Tensor:
        """Add up the gradients of a step's packs; each answer token counts the same, whatever its pack and process."""
        self.batch = rows
        if self.preferences is not None:
            return self.preferences.step(model, self, packs, rows)
        answers = sum(len(row.answer_ids) * row.weight for row in rows)
        total = torch.zeros((), device=self.args.device)
        for number, pack in enumerate(packs, start=1):
            with contextlib.nullcontext() if number == len(packs) else self.accelerator.no_sync(model):
                loss = self.pack_loss(model, pack) * pack.weight / answers
                self._stop_unless_finite(loss, pack.row_ids, "loss")
                self.accelerator.backward(loss * self.args.world_size)  # DDP takes the mean over processes
            total += loss.detach()
        return torch.as_tensor(self.accelerator.reduce(total, "sum"))

    def _within_memory(
        self, compute: Callable[[list[Pack]], Result], packs: list[Pack], rows: Sequence[TokenRow]
    ) -> Result:
        """Compute packs of these rows, again from the first with smaller packs as often as memory runs out."""
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
            packs = self.train_dataset.packs_of(rows)

    def _shrink(self, capacity: int) -> None:
        step, before = self.state.global_step + 1, self.train_dataset.capacity
        self.reporter.say(
            f"out of memory at step {step}: continuing with packs of at most {capacity:,} tokens instead of "
            f"{before:,}, the same rows in every step"
        )
        self.train_dataset.capacity = capacity
        self.held_out = self.train_dataset.packs_of(self.dataset.validation)
        remember_capacity(self.folder, capacity)
        if self.args.world_size > 1:  # the others are in the middle of a pass that this process cannot repeat alone
            raise StartAgain(f"out of memory in process {self.args.process_index} at step {step}")

    def pack_loss(self, model: Any, pack: Pack) -> torch.Tensor:
        """Return the summed loss of a pack's answer tokens."""
        return pack_loss(model, self.head, pack, self.args.device)

    def _note_step(self, loss: torch.Tensor, rows: Sequence[TokenRow]) -> None:
        step = self.state.global_step + 1
        done, tokens = self.dataset.steps[step - 1].done, sum(row.tokens for row in rows)
        entry = {
            "step": step,
            "epoch": done,
            "loss": round(loss.item(), 6),
            "learning_rate": self._get_learning_rate(),
            "tokens": tokens,
        }
        self.state.log_history.append(entry)

    def _clip_grad_norm(self, model: Any) -> Any:
        norm = super()._clip_grad_norm(model)
        self._stop_unless_finite(torch.as_tensor(norm), [row.row_id for row in self.batch], "gradient")
        return norm

    def _stop_unless_finite(self, value: torch.Tensor, row_ids: Sequence[int], what: str) -> None:
        if torch.isfinite(value).all():
            return
        rows = ", ".join(map(str, row_ids))
        checkpoint = newest_whole(self.folder)
        kept = f"The last good checkpoint is {checkpoint.name}, and it is kept" if checkpoint else ""
        last = kept or "There is no checkpoint yet"
        raise TrainingStopped(
            f"The {what} of step {self.state.global_step + 1} is not a finite number ({value.item()}), at rows "
            f"{rows}. {last}. Lower training.learning_rate (now {self.args.learning_rate:g}), or check these rows."
        )

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Measure the mean held-out loss, keep the weights if they are the best, stop when patience has run out."""
        model = self.model
        model.eval()
        with torch.no_grad():
            total = self._within_memory(
                lambda packs: self._measure(model, packs), self.held_out, self.dataset.validation
            )
        loss = (
            total
            if self.preferences
            else total / sum(len(row.answer_ids) * row.weight for row in self.dataset.validation)
        )
        step = self.state.global_step
        self.state.log_history.append(
            {"step": step, "epoch": self.dataset.steps[step - 1].done, "validation_loss": round(loss, 6)}
        )
        self.reporter.measured(step, {"validation_loss": loss})
        if self.state.best_metric is None or loss < self.state.best_metric:
            self.state.best_metric, self.state.best_global_step = loss, step
            self._keep_best()
        self.control.should_training_stop |= is_out_of_patience(self.state.log_history, self.dataset.patience)
        return {"eval_loss": loss}

    def _measure(self, model: Any, packs: Sequence[Pack]) -> float:
        if self.preferences is not None:
            return self.preferences.validate(model, self, packs, self.dataset.validation)
        own = sum(self.pack_loss(model, pack).item() * pack.weight for pack in packs)
        return float(self.accelerator.reduce(torch.tensor(own, dtype=torch.float64, device=self.args.device), "sum"))

    def _keep_best(self) -> None:
        def save(aside: Path) -> Path:
            self.save_model(str(aside), _internal_call=True)
            return aside

        self._write_together(self.folder / step_folder("best", self.state.global_step), save)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)
        for unwanted in ("training_args.bin", "README.md"):
            (Path(output_dir or "") / unwanted).unlink(missing_ok=True)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        def save(aside: Path) -> Path:
            self.args.output_dir = str(aside)
            super(PackedTrainer, self)._save_checkpoint(model, trial)
            return aside / f"checkpoint-{self.state.global_step}"

        self._write_together(self.folder / "checkpoints" / step_folder("step", self.state.global_step), save)
        if self.args.should_save:
            keep_newest(self.folder / "checkpoints", "step-*")
            keep_newest(self.folder, "best-*")

    def _write_together(self, target: Path, save: Callable[[Path], Path]) -> None:
        """Have every process save its part into a folder aside, which the first one moves into place."""
        wait = self.accelerator.wait_for_everyone

        def write(aside: Path) -> Path:
            wait()
            saved = save(aside)
            wait()
            return saved

        if self.args.should_save:
            write_whole(self.folder, target, write, self.reporter.say, may_retry=self.args.world_size == 1)
        else:
            write(self.folder / "aside")
        wait()

    def log(self, *_: Any, **__: Any) -> None:
        """Leave the Trainer's own log out: it would differ from run to run by the seconds in it."""

    def floating_point_ops(self, inputs: Any) -> int:
        """Leave the Trainer's estimate out: it cannot count packs."""
        return 0

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: Any) -> None:
        return None
