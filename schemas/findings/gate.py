"""The gate as data: what the adapter forgot, task by task and over all items."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas.findings.loss import BenchmarkTask, NeutralLoss
from schemas.findings.report import Report
from schemas.sections.benchmark import Require

NEUTRAL = "neutral text"
GateState = Literal["open", "inconclusive", "shut"]


class GateReport(Report):
    """What the adapter forgot, task by task, pooled and on neutral text, and whether the gate opens."""

    state: GateState = Field(
        description="shut: something is lost, and the adapter is refused. inconclusive: benchmark.require is kept, and "
        "that is not shown; a challenger, never a champion. Else open."
    )
    require: Require
    margin: float
    tasks: tuple[BenchmarkTask, ...]
    pooled: BenchmarkTask
    looks: tuple[int, ...] = Field(description="Items that were answered at each look.")
    all_items: int
    neutral: NeutralLoss | None = None
    doubtful: str | None = Field(
        None,
        description="What an inconclusive gate turns on: `pooled`, the task with the largest measured loss, or "
        "`neutral text`.",
    )
    items_needed: int | None = Field(
        None,
        description="Items of it that would tell in 8 of 10 cases if the numbers stay as they are; None where they lie "
        "on the line.",
    )

    @property
    def is_shut(self) -> bool:
        """The adapter is refused."""
        return self.state == "shut"

    @property
    def is_inconclusive(self) -> bool:
        """The adapter may become a challenger, never a champion."""
        return self.state == "inconclusive"

    @property
    def shown(self) -> tuple[BenchmarkTask, ...]:
        """The tasks and, where there are several, the pooled result as the last."""
        return self.tasks if self.pooled in self.tasks else (*self.tasks, self.pooled)

    @property
    def allowed(self) -> str:
        """How much may be lost of what the gate turns on, or of accuracy where it turns on nothing."""
        if self.doubtful == NEUTRAL and self.neutral:
            return f"{self.neutral.margin:g} nats a token on {NEUTRAL}"
        return f"{self.margin:g}"

    @property
    def lost_on(self) -> str:
        """Where more than the margin was lost."""
        is_task = any(one.standing == "lost" for one in self.shown)
        return "a benchmark" if is_task else NEUTRAL

    @property
    def in_words(self) -> str:
        """One line for people: whether the gate is open, how the pooled result stands, and the tasks."""
        return f"Gate {self.state}: {self.counts}"

    @property
    def counts(self) -> str:
        """How the pooled result stands, and how many tasks are kept, inconclusive or lost."""
        stands = {"kept": "kept within", "inconclusive": "inconclusive at", "lost": "lost beyond"}[self.pooled.standing]
        whole = f"{stands} a margin of {self.margin:g} on {self._items}"
        if self.neutral:
            whole += f"; {NEUTRAL} {self.neutral.standing}, {self.neutral.in_words}"
        if len(self.tasks) == 1:
            return whole
        parts = [f"{len(self._of('kept'))} kept"]
        for standing in ("inconclusive", "lost"):
            names = self._of(standing)
            shown = ", ".join(names[:4]) + (f", +{len(names) - 4}" if len(names) > 4 else "")
            parts += [f"{len(names)} {standing} ({shown})"] if names else []
        return f"pooled result {whole}; of {len(self.tasks)} benchmark tasks, {', '.join(parts)}"

    @property
    def _items(self) -> str:
        asked = f"{self.looks[-1]:,}"
        return f"{asked} items" if self.looks[-1] == self.all_items else f"{asked} of {self.all_items:,} items"

    def _of(self, standing: str) -> list[str]:
        return [task.task for task in self.tasks if task.standing == standing]
