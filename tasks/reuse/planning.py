"""Planning: the flow body runs as it is, but every stage only looks its key up: plan and run cannot disagree."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemas.config import StageLimits

Outlook = Literal["hit", "will run", "depends", "spared"]


@dataclass(frozen=True)
class Pending:
    """Stands for an artifact that does not exist yet, with values that make a plan show every stage that may run."""

    label: str
    is_sufficient: bool = False
    promotes: bool = True
    problem: str = ""


@dataclass(frozen=True)
class PlannedStage:
    """One line of a plan: the stage, what will happen, why, and what it took the last time on this machine."""

    label: str
    outlook: Outlook
    why: str
    key: str | None = None
    seconds: float | None = None
    peak_bytes: int | None = None
    sealed_at: float | None = None


@dataclass
class Plan:
    """What a run would do, in order."""

    stages: list[PlannedStage] = field(default_factory=list)
    artifacts: dict[str, Any] = field(default_factory=dict)  # label -> the artifact that a hit answers with
    ingredients: dict[str, dict[str, Any]] = field(default_factory=dict)  # label -> what its key is made of

    def add_hit(self, label: str, key: str, artifact: Any, record: dict[str, Any]) -> None:
        """Note a stage that is answered from the store, with what it took when it ran."""
        took = (record.get(name) for name in ("seconds", "peak_bytes", "sealed_at"))
        self.stages.append(PlannedStage(label, "hit", "", key, *took))
        self.artifacts[label] = artifact

    @property
    def is_all_hits(self) -> bool:
        """Tell whether nothing would run."""
        return bool(self.stages) and all(stage.outlook == "hit" for stage in self.stages)


current_plan: ContextVar[Plan | None] = ContextVar("current_plan", default=None)
current_run: ContextVar[str] = ContextVar("current_run", default="")  # the config's name: for people, never in a key
current_limits: ContextVar[Mapping[str, StageLimits]] = ContextVar("current_limits", default={})  # noqa: B039 - never written to

# Keys of this run by the place that a config names, such as env:NAME; in no key, no argument and no file.
current_secrets: ContextVar[Mapping[str, str]] = ContextVar("current_secrets")


def enter_run(name: str, limits: Mapping[Any, StageLimits]) -> None:
    """Set the run's name and the limits for the stages that follow; neither is in a key."""
    current_run.set(name)
    current_limits.set(limits)


@contextlib.contextmanager
def planning() -> Iterator[Plan]:
    """Make every stage in this block answer its recorded artifact, or `Pending`; nothing runs or is written."""
    plan = Plan()
    token = current_plan.set(plan)
    try:
        yield plan
    finally:
        current_plan.reset(token)
