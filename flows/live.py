"""Training's numbers in MLflow while it goes on, where MLFLOW_TRACKING_URI names a server that somebody may be looking
at.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from tasks.registry.live import LiveCurve
from tasks.reuse.planning import current_plan
from tasks.reuse.progress import Reporters, reporter


@contextlib.contextmanager
def live_in_mlflow(experiment: str) -> Iterator[None]:
    """Send what is measured inside the block to an MLflow run of its own; without a server, or while planning, nothing
    is done.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri or current_plan.get() is not None:
        yield
        return
    curve = LiveCurve(uri, experiment)
    heard = reporter.set(Reporters(reporter.get(), curve))
    try:
        yield
    finally:
        reporter.reset(heard)
        curve.close()
