"""The outcome of a run, read back from the store; and `tuneworthy diff`, what moved between two outcomes."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from flows.command_line.terminal import plain_table
from flows.diff import compared
from schemas.artifacts import ArmArtifact, Artifact, DataReportArtifact, RegisteredVersion, ReportArtifact
from schemas.findings.diff import ArmMove, VerdictDiff
from schemas.reports import Verdict
from tasks.reuse.current_store import current_store
from tasks.reuse.planning import Plan

WORSE = 6  # exit code
COLUMNS = ("before", "after", "change", "interval", "groups", "rows")  # of a diff
A = TypeVar("A", bound=Artifact)
MEASURED_ONCE_TRAINED = ("score_arm[tuned]", "score_arm[tuned_retrieval]", "benchmark_adapter", "register_adapter")
SPARED_BY_AN_UNTRAINED_ARM = ("train_adapter", *MEASURED_ONCE_TRAINED)


@dataclass(frozen=True)
class Outcome:
    """A verdict with what a person asks for next: both reports, the registered version, what each stage took."""

    verdict: Verdict
    report: Path
    data_report: Path
    plan: Plan

    @property
    def seconds_a_row(self) -> dict[str, float]:
        """Seconds that each arm took for one row on the machine that measured it."""
        arms = (found for found in self.plan.artifacts.values() if isinstance(found, ArmArtifact))
        return {arm.arm: arm.seconds_per_row for arm in arms}

    @property
    def version(self) -> RegisteredVersion | None:
        """The registered version, if there is one."""
        return _first_of(RegisteredVersion, self.plan)

    def registration(self, champion: str | None) -> str:
        """Say what became of the adapter; `champion` is the version that has that alias at this moment."""
        if own := self.version:
            registered = f"registered: models:/{own.model}@{own.alias} (version {own.version}, {own.megabytes:.1f} MB)"
            has_moved = champion is not None and (champion == own.version) != (own.alias == "champion")
            return f"{registered}; since then version {champion} was made champion" if has_moved else registered
        return "not registered: the registration failed" if self.verdict.promotes else "nothing to register"

    @property
    def sealed(self) -> str:
        """When the newest stage was sealed, in local time."""
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(max(stage.sealed_at or 0 for stage in self.plan.stages)))

    def as_json(self, is_all_hits: bool) -> dict[str, Any]:
        """Return the outcome as one JSON object."""
        told = ("key", "seconds", "peak_bytes")
        stages = [{"stage": one.label} | {name: getattr(one, name) for name in told} for one in self.plan.stages]
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
    verdict = Verdict.model_validate_json((folder / "verdict.json").read_text(encoding="utf-8"))
    return Outcome(verdict, folder / "report.html", data / "report.html", plan)


def spared_stages(plan: Plan) -> list[str]:
    """Return the stages that a plan does not reach, because an untrained arm is good enough."""
    reached = {stage.label for stage in plan.stages}
    return [] if "train_adapter" in reached else [label for label in SPARED_BY_AN_UNTRAINED_ARM if label not in reached]


def diff(arguments: argparse.Namespace) -> int:
    """Print how the later verdict differs; the exit code is 6 where the arm that it names is worse at confidence."""
    found = compared(arguments.before, arguments.after, current_store())
    if arguments.json:
        print(json.dumps(found.model_dump(mode="json") | {"is_worse": found.is_worse}))
    elif arguments.markdown:
        print(as_markdown(found))
    else:
        _show(found)
    return WORSE if found.is_worse else 0


def outcome_sentence(found: VerdictDiff) -> str:
    """Return the outcome in one sentence."""
    named = found.named
    arms = named.after_arm if named.before_arm == named.after_arm else f"{named.before_arm} -> {named.after_arm}"
    how = {"worse": "worse", "better": "better", "unclear": "not shown to be better or worse"}[named.standing]
    told = f"the arm that is named ({arms}) is {how} at {100 * found.confidence:g}% confidence"
    return f"{told}: {named.difference:+.3f} ({named.low:+.3f} to {named.high:+.3f})."


def _lines(found: VerdictDiff) -> list[str]:
    """Return what differs beside the scores."""
    pairs = (("verdict", *found.verdicts), ("gate", *found.gates))
    lines = [f"{name}: {was if was == now else f'{was} -> {now}'}" for name, was, now in pairs]
    lines += [f"{name}: {was} -> {now}" for name, was, now in found.settings]
    return [*lines, *(f"why: {reason}" for reason in found.why)]


def _cells(move: ArmMove) -> tuple[str, ...]:
    name, rows = move.after_arm if move.before_arm == move.after_arm else "named", "same" if move.is_paired else "other"
    moved = f"{move.difference:+.3f}", f"{move.low:+.3f} to {move.high:+.3f}"
    return name, f"{move.before:.3f}", f"{move.after:.3f}", *moved, str(move.groups), rows


def _moves(found: VerdictDiff) -> list[ArmMove]:
    is_new = found.named.before_arm != found.named.after_arm
    return [*found.arms, *([found.named] if is_new else [])]


def as_markdown(found: VerdictDiff) -> str:
    """Return the difference as Markdown for a pull request."""
    rows = [("arm", *COLUMNS), ("---", *["---:"] * len(COLUMNS)), *map(_cells, _moves(found))]
    table = [f"| {' | '.join(cells)} |" for cells in rows]
    head = [f"### {found.before} -> {found.after}", "", outcome_sentence(found), ""]
    return "\n".join([*head, *table, "", *(f"- {line}" for line in _lines(found))])


def _show(found: VerdictDiff) -> None:
    console = Console(highlight=False, soft_wrap=True)
    table = plain_table(f"{found.before} -> {found.after}", "arm", COLUMNS)
    for move in _moves(found):
        table.add_row(*_cells(move))
    console.print(table)
    console.print(outcome_sentence(found), style="bold")
    for line in _lines(found):
        console.print(line, markup=False)
