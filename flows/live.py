"""Training's numbers in MLflow while it goes on, where MLFLOW_TRACKING_URI names a server that somebody may be looking at."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from tasks.planning import current_plan
from tasks.progress import Several, audience
from tasks.registry.live import LiveCurve


@contextlib.contextmanager
def live_in_mlflow(experiment: str) -> Iterator[None]:
    """Send what is measured inside the block to an MLflow run of its own; without a server, or while planning, nothing is done."""
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri or current_plan.get() is not None:
        yield
        return
    curve = LiveCurve(uri, experiment)
    heard = audience.set(Several(audience.get(), curve))
    try:
        yield
    finally:
        audience.reset(heard)
        curve.close()
