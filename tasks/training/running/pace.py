"""When to evaluate, to save and to stop, and what is told of how far training is."""

from __future__ import annotations

import time
from typing import Any

from transformers import TrainerCallback

from tasks.reuse.memory import trim
from tasks.reuse.progress import Reporter
from tasks.training.running.process_group import ProcessGroup
from tasks.training.running.stopping import Stop
from tasks.training.step.packing import TrainingDataset

STEPS_BETWEEN_TRIMS = 10  # at every step a trim would cost 12% of the time
STEPS_IN_A_RATE = 20


class Pace(TrainerCallback):
    """Decides when to evaluate and to save, and tells how far training is."""

    def __init__(self, dataset: TrainingDataset, minutes: float, reporter: Reporter, stop: Stop) -> None:
        self.dataset, self.minutes, self.reporter, self.stop = dataset, minutes, reporter, stop
        self.group, self.limit = ProcessGroup(), 0.0
        self.saved = time.monotonic()
        self.ticks: list[tuple[float, int, int]] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock of the rate."""
        if not self.ticks:
            self.ticks = [(time.monotonic(), state.global_step, 0)]

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Ask for validation at the end of an epoch, for a checkpoint then or when its time has come, and for the end
        when someone asked for it.
        """
        if state.global_step % STEPS_BETWEEN_TRIMS == 0:
            trim()
        now = time.monotonic()
        ends = self.dataset.steps[state.global_step - 1].is_epoch_end
        control.should_evaluate = ends and bool(self.dataset.validation)
        is_asked, is_due = self.group.any_of([self.stop.is_asked, now - self.saved > self.minutes * 60])
        control.should_save = ends or is_asked or is_due
        control.should_training_stop |= is_asked
        self._tell(now, state.global_step, state.log_history[-1])

    def _tell(self, now: float, step: int, entry: dict[str, Any]) -> None:
        self.ticks = [*self.ticks[-STEPS_IN_A_RATE:], (now, step, self.ticks[-1][2] + entry["tokens"])]
        (since, first, before), (until, last, after) = self.ticks[0], self.ticks[-1]
        seconds = max(until - since, 1e-9)
        rate, left = (after - before) / seconds, (len(self.dataset.steps) - step) * seconds / (last - first)
        share = f" ({rate / self.limit:.0%} of what products allow)" if self.limit else ""
        note = f"loss {entry['loss']:.2f} · {rate:,.0f} tokens/s{share} · {time_left(left)}"
        self.reporter.measured(
            step, {"loss": entry["loss"], "learning_rate": entry["learning_rate"], "tokens_per_s": rate}
        )
        self.reporter.advance(step, len(self.dataset.steps), note)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock of the next checkpoint."""
        self.saved = time.monotonic()


def time_left(seconds: float) -> str:
    """Return how long it may still take, as coarsely as it is known."""
    if seconds < 90:
        return f"{seconds:.0f} s left"
    return f"{seconds / 60:.0f} min left" if seconds < 5400 else f"{seconds / 3600:.1f} h left"
