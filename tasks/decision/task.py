"""The decision stages: `decide` turns measured arms into a verdict, `write_report` turns a verdict into what a person reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.artifacts import AdapterArtifact, ArmArtifact, BenchmarkArtifact, DataArtifact, ModelArtifact, ReportArtifact, VerdictArtifact
from tasks.stage import Bench, stage

if TYPE_CHECKING:
    from schemas.config import DecisionConfig


@stage(libraries=("numpy",))
def decide(
    decision: DecisionConfig, margin: float | None, seed: int, arms: tuple[ArmArtifact, ...], benchmark: BenchmarkArtifact | None, *, bench: Bench
) -> VerdictArtifact:
    """Decide which arm answers the task best, with paired bootstrap intervals on the same rows; verdict.json holds every number."""
    from tasks.decision.comparison import compare_arms, read_measured
    from tasks.decision.rules import judge

    measured = read_measured([(arm, bench.open(arm)) for arm in arms])
    verdict = judge(compare_arms(measured, decision, seed), benchmark, decision, margin)
    (bench.out / "verdict.json").write_text(verdict.model_dump_json(indent=1), encoding="utf-8")
    return VerdictArtifact(**verdict.model_dump(include={"verdict", "headline", "is_sufficient", "promotes"}))


@stage(libraries=("matplotlib", "jinja2"))
def write_report(
    name: str,
    verdict: VerdictArtifact,
    data: DataArtifact,
    base: ModelArtifact,
    arms: tuple[ArmArtifact, ...],
    adapter: AdapterArtifact | None,
    benchmark: BenchmarkArtifact | None,
    *,
    bench: Bench,
) -> ReportArtifact:
    """Write what a person reads of a verdict: report.html (self-contained), summary.md for Prefect, and verdict.json beside them."""
    from tasks.decision.reporting import Measurements, write_pages

    opened = [part for part in (verdict, data, *arms, adapter) if part is not None]
    folders = {part.digest: bench.open(part) for part in opened}
    return ReportArtifact(headline=write_pages(name, Measurements(verdict, data, base, arms, adapter, benchmark), folders, bench.out))
