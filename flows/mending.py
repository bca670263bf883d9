"""An artifact that turns out to be broken is set aside, and its stage runs again within the same run."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from schemas.errors import ArtifactBroken
from tasks.reuse.planning import current_plan
from tasks.reuse.progress import current_reporter

P = ParamSpec("P")
R = TypeVar("R")
MOST_RESTARTS = 3  # a disk that damages more artifacts than this in one run ends it with an error


def retry_when_broken(body: Callable[P, R]) -> Callable[P, R]:
    """Make a flow body start again when an artifact was broken: only what was lost is made anew."""

    @functools.wraps(body)
    def retried(*args: P.args, **kwargs: P.kwargs) -> R:
        for _ in range(MOST_RESTARTS):
            try:
                return body(*args, **kwargs)
            except ArtifactBroken as fault:
                if current_plan.get() is not None:
                    raise
                current_reporter.get().say(f"{fault} Running it again now.")
        return body(*args, **kwargs)

    # Prefect reads parameters from here, and would look the names of their classes up in this module.
    retried.__signature__ = inspect.signature(body, eval_str=True)  # type: ignore[attr-defined]
    retried.__annotations__ = inspect.get_annotations(body, eval_str=True)
    return retried
