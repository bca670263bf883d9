"""The gate as data: what the adapter forgot, task by task."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas.artifacts import BenchmarkTask
from schemas.report import Report

MarginStanding = Literal["within", "unclear", "beyond"]


class GateTask(BenchmarkTask):
    """One benchmark task before the gate."""

    standing: MarginStanding = Field(
        description="The loss against the margin, by the interval of the difference: within it, inconclusive (the "
        "interval crosses it), beyond it."
    )
    is_passed: bool = Field(description="The standing is not `beyond`: an inconclusive loss passes.")


class GateReport(Report):
    """What the adapter forgot, task by task, and whether the gate opens."""

    is_passed: bool
    margin: float
    tasks: tuple[GateTask, ...]

    @property
    def state(self) -> str:
        """Open or shut: only a loss beyond the margin, at the verdict's confidence, shuts it."""
        return "open" if self.is_passed else "shut"

    @property
    def in_words(self) -> str:
        """One line for people: whether the gate is open, and how the tasks stand."""
        return f"Gate {self.state}: {self.counts}"

    @property
    def counts(self) -> str:
        """How many tasks are within the margin, inconclusive, or beyond it."""
        parts = [f"{len(self._of('within'))} within the margin of {self.margin:g}"]
        for standing, words in (("unclear", "inconclusive"), ("beyond", "beyond it")):
            names = self._of(standing)
            shown = ", ".join(names[:4]) + (f", +{len(names) - 4}" if len(names) > 4 else "")
            parts += [f"{len(names)} {words} ({shown})"] if names else []
        return f"of {len(self.tasks)} benchmark task{'' if len(self.tasks) == 1 else 's'}, {', '.join(parts)}"

    def _of(self, standing: str) -> list[str]:
        return [task.task for task in self.tasks if task.standing == standing]
