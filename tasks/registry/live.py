"""Training metrics in MLflow while training runs. Training only queues them; a thread of its own sends them when the
server answers.

Where the server is slow or unreachable, the newest numbers wait in a buffer of fixed size and the oldest are dropped.
Nothing here raises, and nothing waits except `close`, for `PATIENCE_AT_END` seconds. The verdict's own run, written at
the end, has the whole curve.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from typing import Any

from tasks.reuse.progress import Reporter

SECONDS_BETWEEN_BATCHES = 3.0
PATIENCE_AT_END = 5.0
BUFFERED = 20_000
BATCH = 1000  # metrics that MLflow takes at once


class LiveCurve(Reporter):
    """Sends measurements to an MLflow run of the experiment, which is created with the first of them."""

    def __init__(self, uri: str, experiment: str) -> None:
        self.uri, self.experiment = uri, experiment
        self.waiting: deque[tuple[str, float, int, int]] = deque(maxlen=BUFFERED)
        self.has_ended = threading.Event()
        self.sender: threading.Thread | None = None
        self.run: tuple[Any, str] | None = None

    def measured(self, step: int, numbers: dict[str, float]) -> None:
        """Queue the numbers."""
        now = int(time.time() * 1000)
        self.waiting.extend((f"train/{name}", value, now, step) for name, value in numbers.items())
        if self.sender is None:
            self.sender = threading.Thread(target=self._send_until_closed, name="MLflow, live", daemon=True)
            self.sender.start()

    def close(self) -> None:
        """Let the thread send what is queued and end the run, for some seconds at most."""
        self.has_ended.set()
        if self.sender is not None:
            self.sender.join(PATIENCE_AT_END)

    def _send_until_closed(self) -> None:
        while not self.has_ended.wait(SECONDS_BETWEEN_BATCHES):
            self._send()
        self._send()
        with contextlib.suppress(Exception):
            if self.run is not None:
                self.run[0].set_terminated(self.run[1], "FINISHED")

    def _send(self) -> None:
        """Send what is queued; what the server did not accept goes back to the front, as far as there is room."""
        while self.waiting:
            batch = [self.waiting.popleft() for _ in range(min(BATCH, len(self.waiting)))]
            try:
                self._send_batch(batch)
            except Exception:  # noqa: BLE001 - whatever a server does must not reach training
                self.waiting.extendleft(reversed(batch[max(0, len(batch) + len(self.waiting) - BUFFERED) :]))
                return

    def _send_batch(self, batch: list[tuple[str, float, int, int]]) -> None:
        from mlflow import MlflowClient
        from mlflow.entities import Metric

        if self.run is None:
            client = MlflowClient(tracking_uri=self.uri)
            found = client.get_experiment_by_name(self.experiment)
            place = found.experiment_id if found else client.create_experiment(self.experiment)
            self.run = (
                client,
                client.create_run(
                    place, run_name=f"{self.experiment}: training", tags={"tuneworthy.live": "true"}
                ).info.run_id,
            )
        self.run[0].log_batch(self.run[1], metrics=[Metric(*one) for one in batch])
