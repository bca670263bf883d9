"""An artifact found broken while it is opened is set aside; what made it runs again in the same run, so that no person
has to.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from schemas.errors import ArtifactBroken
from tasks.reuse.planning import current_plan
from tasks.reuse.progress import reporter

P = ParamSpec("P")
R = TypeVar("R")
MENDS = 3  # a disk that spoils more than this many artifacts in one run is told about


def again_when_broken(body: Callable[P, R]) -> Callable[P, R]:
    """Make a flow body start again from the store when an artifact was broken: everything else is a hit, so only what
    is lost is made anew.
    """

    @functools.wraps(body)
    def mended(*args: P.args, **kwargs: P.kwargs) -> R:
        for _ in range(MENDS):
            try:
                return body(*args, **kwargs)
            except ArtifactBroken as fault:
                if current_plan.get() is not None:
                    raise
                reporter.get().say(f"{fault} That is done now.")
        return body(*args, **kwargs)

    # Prefect reads parameters from here, and would look the names of their classes up in this module.
    mended.__signature__ = inspect.signature(body, eval_str=True)  # type: ignore[attr-defined]
    mended.__annotations__ = inspect.get_annotations(body, eval_str=True)
    return mended
