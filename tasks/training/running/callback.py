"""When to validate, to save and to stop, and the progress that is reported after each step."""

from __future__ import annotations

import time
from typing import Any

import torch
from accelerate.utils import reduce
from transformers import TrainerCallback

from tasks.reuse.memory import trim
from tasks.reuse.progress import Reporter
from tasks.training.running.stopping import Stop
from tasks.training.step.packing import TrainingDataset

STEPS_BETWEEN_TRIMS = 10  # a trim at every step would cost 12% of the time
STEPS_IN_A_RATE = 20


class StepCallback(TrainerCallback):
    """Decides after each step what is due, and reports; `roofline` is the most row tokens a second, 0 if unknown."""

    def __init__(
        self, dataset: TrainingDataset, minutes: float, reporter: Reporter, stop: Stop, roofline: float
    ) -> None:
        self.dataset, self.minutes, self.reporter, self.stop = dataset, minutes, reporter, stop
        self.roofline = roofline
        self.saved = time.monotonic()
        # (time, step, row tokens so far) of the last steps
        self.ticks: list[tuple[float, int, int]] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock of the rate."""
        if not self.ticks:
            self.ticks = [(time.monotonic(), state.global_step, 0)]

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Ask for validation after an epoch, for a checkpoint then or in time, for the end if any process was asked."""
        if state.global_step % STEPS_BETWEEN_TRIMS == 0:
            trim()
        now = time.monotonic()
        ends = self.dataset.steps[state.global_step - 1].is_epoch_end
        control.should_evaluate = ends and bool(self.dataset.validation)
        own = [self.stop.is_set(), now - self.saved > self.minutes * 60]
        is_asked, is_due = reduce(torch.tensor(own, dtype=torch.int32, device=args.device), "sum").tolist()
        control.should_save = ends or bool(is_asked or is_due)
        control.should_training_stop |= bool(is_asked)
        self._report(now, state.global_step, state.log_history[-1])

    def _report(self, now: float, step: int, entry: dict[str, Any]) -> None:
        self.ticks = [*self.ticks[-STEPS_IN_A_RATE:], (now, step, self.ticks[-1][2] + entry["tokens"])]
        (since, first, before), (until, last, after) = self.ticks[0], self.ticks[-1]
        seconds = max(until - since, 1e-9)
        rate = (after - before) / seconds
        left = (len(self.dataset.steps) - step) * seconds / (last - first)
        share = f" ({rate / self.roofline:.0%} of the matmul roofline)" if self.roofline else ""
        numbers = {"loss": entry["loss"], "learning_rate": entry["learning_rate"], "tokens_per_s": rate}
        self.reporter.measured(step, numbers)
        note = f"loss {entry['loss']:.2f} · {rate:,.0f} tokens/s{share} · {time_left(left)}"
        self.reporter.advance(step, len(self.dataset.steps), note)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock of the next checkpoint."""
        self.saved = time.monotonic()


def time_left(seconds: float) -> str:
    """Return the time left in words, in seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s left"
    return f"{seconds / 60:.0f} min left" if seconds < 5400 else f"{seconds / 3600:.1f} h left"
