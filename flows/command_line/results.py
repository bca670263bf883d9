"""The outcome of a run, read back from the store: the same for a run that did everything and for one that did
nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from schemas.artifacts import ArmArtifact, Artifact, DataReportArtifact, RegisteredVersion, ReportArtifact
from schemas.reports import Verdict
from tasks.reuse.current_store import current_store
from tasks.reuse.planning import Plan

A = TypeVar("A", bound=Artifact)
SPARED_BY_AN_UNTRAINED_ARM = (
    "train_adapter",
    "score_arm[tuned]",
    "score_arm[tuned_retrieval]",
    "benchmark_adapter",
    "register_adapter",
)


@dataclass(frozen=True)
class Outcome:
    """A verdict with what a person asks for next: the reports on it and on the rows, the registered version, what each
    stage took.
    """

    verdict: Verdict
    report: Path
    data_report: Path
    plan: Plan

    @property
    def seconds_a_row(self) -> dict[str, float]:
        """Seconds that each arm took for one row on the machine that measured it."""
        return {
            found.arm: found.seconds_per_row for found in self.plan.artifacts.values() if isinstance(found, ArmArtifact)
        }

    @property
    def version(self) -> RegisteredVersion | None:
        """The registered version, if there is one."""
        return _first_of(RegisteredVersion, self.plan)

    def registration(self, champion: str | None) -> str:
        """Say what became of the adapter; `champion` is the version that has that alias at this moment."""
        if self.version:
            registered = (
                f"registered: models:/{self.version.model}@{self.version.alias} (version {self.version.version}, "
                f"{self.version.megabytes:.1f} MB)"
            )
            has_moved = champion is not None and (champion == self.version.version) != (
                self.version.alias == "champion"
            )
            return f"{registered}; since then version {champion} was made champion" if has_moved else registered
        return "not registered: the registration failed" if self.verdict.promotes else "nothing to register"

    @property
    def sealed(self) -> str:
        """When the newest stage was sealed, in local time."""
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(max(stage.sealed_at or 0 for stage in self.plan.stages)))

    def as_json(self, is_all_hits: bool) -> dict[str, Any]:
        """Return the outcome as one JSON object."""
        stages = [
            {"stage": stage.label, "key": stage.key, "seconds": stage.seconds, "peak_bytes": stage.peak_bytes}
            for stage in self.plan.stages
        ]
        version = self.version.model_dump(mode="json") if self.version else None
        return {
            "verdict": self.verdict.model_dump(mode="json"),
            "is_all_hits": is_all_hits,
            "report": str(self.report),
            "data_report": str(self.data_report),
            "registered": version,
            "stages": stages,
        }


def _first_of(kind: type[A], plan: Plan) -> A | None:
    return next((found for found in plan.artifacts.values() if isinstance(found, kind)), None)


def outcome_of(plan: Plan) -> Outcome | None:
    """Return the outcome that a plan's hits hold, or None while there is no report."""
    page, rows = _first_of(ReportArtifact, plan), _first_of(DataReportArtifact, plan)
    if page is None or rows is None:
        return None
    folder, data = (current_store().open(found.digest) for found in (page, rows))
    return Outcome(
        Verdict.model_validate_json((folder / "verdict.json").read_text(encoding="utf-8")),
        folder / "report.html",
        data / "report.html",
        plan,
    )


def spared_stages(plan: Plan) -> list[str]:
    """Return the stages that a plan does not reach, because an untrained arm is good enough."""
    reached = {stage.label for stage in plan.stages}
    return [] if "train_adapter" in reached else [label for label in SPARED_BY_AN_UNTRAINED_ARM if label not in reached]
