"""When training is over: after the last step, when patience has run out, or after a SIGTERM. Then the current step is
finished and saved, if that takes a moment only, and the same command resumes from there.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from schemas.errors import TrainingAsked, TrainingStopped
from tasks.training.running.checkpoints import newest_whole, read_state
from tasks.training.step.packing import TrainingDataset

PATIENCE = 3.0


class Stop(Protocol):
    """A request to stop: an event of threading's, or of multiprocessing's where a parent asks its processes."""

    def is_set(self) -> bool:
        """Return whether someone asked to stop."""


@contextlib.contextmanager
def stoppable() -> Iterator[threading.Event]:
    """Yield an event that the first SIGTERM sets; the second one, and every later one, is handled as before the block.

    A step that is not over by then is given up after `PATIENCE` seconds: what was saved before it is kept.

    Only the main thread may set a signal's handler; in another one nothing is set, and SIGTERM does what it did.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    former = signal.getsignal(signal.SIGTERM)

    def ask(number: int, frame: FrameType | None) -> None:
        stop.set()
        signal.signal(signal.SIGTERM, former)
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)

    def give_up(number: int, frame: FrameType | None) -> None:
        raise TrainingAsked(
            "Asked to stop (SIGTERM): the current step took too long to wait for. The same command resumes from the "
            "last checkpoint."
        )

    signal.signal(signal.SIGTERM, ask)
    former_alarm = signal.signal(signal.SIGALRM, give_up)
    try:
        yield stop
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former_alarm)
        signal.signal(signal.SIGTERM, former)


def is_out_of_patience(log: Sequence[dict[str, Any]], patience: int) -> bool:
    """Return whether none of the last `patience` validation losses is better than the best one before them."""
    losses = [entry["validation_loss"] for entry in log if "validation_loss" in entry]
    return bool(losses) and len(losses) - 1 - losses.index(min(losses)) >= patience


def is_finished(state: dict[str, Any], dataset: TrainingDataset) -> bool:
    """Return whether a saved state is the end of training: the last step, or no patience left."""
    is_last = state["global_step"] >= len(dataset.steps)
    return bool(is_last or is_out_of_patience(state["log_history"], dataset.patience))


def last_checkpoint(folder: Path, dataset: TrainingDataset, is_asked: bool = False) -> Path:
    """Return the last checkpoint of a finished fit.

    Raises:
        TrainingStopped: the fit is not finished: it was asked to stop, or its last checkpoint is damaged.
    """
    last = newest_whole(folder)
    if last is not None and is_finished(read_state(last), dataset):
        return last
    if last is None or not is_asked:
        raise TrainingStopped(
            f"Training ended, but its last checkpoint in {folder} is damaged. Run again: it resumes from the one "
            "before."
        )
    step = read_state(last)["global_step"]
    raise TrainingAsked(
        f"Asked to stop (SIGTERM): training stopped after step {step} of {len(dataset.steps)} and saved it. The same "
        "command resumes there."
    )
