"""Stand-ins for the stages' engines, which seal the digest of their arguments: a whole run takes a moment, and every
changed input changes the output.
"""

from __future__ import annotations

import sys
from typing import Any, get_origin

from schemas.artifacts import Artifact
from tasks.reuse.keys import digest_of
from tasks.reuse.progress import Reporter
from tasks.reuse.stage import Stage, WorkDirectory

FACTS = {"is_sufficient": False, "promotes": True, "problem": ""}


class Listener(Reporter):
    """Notes which stages ran."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def stage_finished(self, label: str, how: str, seconds: float, peak_bytes: int) -> None:
        """Note a stage that ran."""
        if how == "ran":
            self.ran.append(label)


def every_stage() -> list[Stage[Any]]:
    """Return every stage of the project."""
    rooms = [module for name, module in sys.modules.items() if name.startswith("tasks.") and name.endswith(".task")]
    return list(
        {id(found): found for room in rooms for found in vars(room).values() if isinstance(found, Stage)}.values()
    )


def stand_in(stage: Stage[Any]) -> Any:
    """Return a function that seals what its key is made of, source and libraries aside."""

    def function(*, workdir: WorkDirectory, **arguments: Any) -> Artifact:
        moves = {
            name: value
            for name, value in stage.ingredients(arguments).items()
            if not name.startswith(("source.tasks.", "source.schemas.", "library."))
        }
        (workdir.out / "summary.md").write_text(digest_of(moves), encoding="utf-8")
        (workdir.out / "refused.json").write_text("[]", encoding="utf-8")
        facts = {
            name: fact(name, field.annotation) for name, field in stage.returns.model_fields.items() if name != "digest"
        }
        return stage.returns.model_validate(facts)

    function.__module__ = stage.function.__module__
    function.__annotations__ = stage.function.__annotations__
    return function


def fact(name: str, kind: Any) -> Any:
    """Return some value of this kind."""
    if get_origin(kind) in (tuple, dict):
        return get_origin(kind)()
    return FACTS.get(name, {int: 1, float: 0.5, bool: False, str: "some"}.get(kind))
