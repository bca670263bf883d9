"""Training metrics in MLflow while training runs, where MLFLOW_TRACKING_URI names a server that somebody may watch."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from tasks.registry.live import LiveCurve
from tasks.reuse.planning import current_plan
from tasks.reuse.progress import Reporters, current_reporter


@contextlib.contextmanager
def live_in_mlflow(experiment: str) -> Iterator[None]:
    """Send what is measured inside the block to an MLflow run of its own; do nothing without a server or in a plan."""
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri or current_plan.get() is not None:
        yield
        return
    curve = LiveCurve(uri, experiment)
    token = current_reporter.set(Reporters(current_reporter.get(), curve))
    try:
        yield
    finally:
        current_reporter.reset(token)
        curve.close()
