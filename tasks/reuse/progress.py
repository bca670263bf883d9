"""Progress of a run: stages report to the current reporter, which shows it (terminal, Prefect) or does nothing."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any


class Reporter:
    """Receives what stages report. This one shows nothing; subclasses override what they show."""

    def stage_started(self, label: str, why: str) -> None:
        """A stage has to run; `why` says which ingredients of its key changed."""

    def stage_finished(self, label: str, how: str, seconds: float, peak_bytes: int) -> None:
        """A stage has its artifact; `how` is "hit" or "ran"."""

    def stage_failed(self, label: str, error: BaseException) -> None:
        """A stage failed."""

    def advance(self, done: float, total: float, note: str = "") -> None:
        """The running stage has done `done` of `total` units; `note` is short, such as "loss 0.31, 340 tokens/s"."""

    def measured(self, step: int, numbers: dict[str, float]) -> None:
        """What the running stage measured at a step, by name, such as loss and tokens_per_s."""

    def say(self, line: str) -> None:
        """One line that stays visible: a decision of the running stage and its reason."""

    def table(self, key: str, rows: list[dict[str, Any]], description: str) -> None:
        """Rows that stay visible, such as refused ones; `key` names the table in lower-case letters and dashes."""


class Reporters(Reporter):
    """Passes everything on to several reporters."""

    def __init__(self, *reporters: Reporter) -> None:
        self.reporters = reporters

    def stage_started(self, label: str, why: str) -> None:
        """Pass on."""
        for reporter in self.reporters:
            reporter.stage_started(label, why)

    def stage_finished(self, label: str, how: str, seconds: float, peak_bytes: int) -> None:
        """Pass on."""
        for reporter in self.reporters:
            reporter.stage_finished(label, how, seconds, peak_bytes)

    def stage_failed(self, label: str, error: BaseException) -> None:
        """Pass on."""
        for reporter in self.reporters:
            reporter.stage_failed(label, error)

    def advance(self, done: float, total: float, note: str = "") -> None:
        """Pass on."""
        for reporter in self.reporters:
            reporter.advance(done, total, note)

    def measured(self, step: int, numbers: dict[str, float]) -> None:
        """Pass on."""
        for reporter in self.reporters:
            reporter.measured(step, numbers)

    def say(self, line: str) -> None:
        """Pass on."""
        for reporter in self.reporters:
            reporter.say(line)

    def table(self, key: str, rows: list[dict[str, Any]], description: str) -> None:
        """Pass on."""
        for reporter in self.reporters:
            reporter.table(key, rows, description)


SILENT = Reporter()
current_reporter: ContextVar[Reporter] = ContextVar("current_reporter", default=SILENT)
