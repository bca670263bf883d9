"""SIGTERM during training: the step at hand is finished and saved, then training stops; the same command goes on from
there.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType


@dataclass
class Stop:
    """Whether this process was asked to end."""

    is_asked: bool = False


@contextlib.contextmanager
def stoppable() -> Iterator[Stop]:
    """Take SIGTERM as a wish to stop after the step at hand; a second one is answered as before the block, and so is
    every one after it.

    Only the main thread may set a signal's handler; in another one nothing is set, and SIGTERM does what it did.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    former = signal.getsignal(signal.SIGTERM)

    def ask(number: int, frame: FrameType | None) -> None:
        stop.is_asked = True
        signal.signal(signal.SIGTERM, former)

    signal.signal(signal.SIGTERM, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, former)
