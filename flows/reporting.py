"""The end of every run: the report is written and shown, its numbers are tracked, and an adapter that earned it is registered."""

from __future__ import annotations

import os

from flows.sources import RunSources
from schemas.artifacts import AdapterArtifact, ArmArtifact, BenchmarkArtifact, DataArtifact, ModelArtifact, ReportArtifact, VerdictArtifact
from schemas.config import RunConfig
from tasks.decision.task import write_report
from tasks.keys import digest_of, flatten
from tasks.planning import current_plan
from tasks.prefect_tasks import publish_markdown, publish_stages
from tasks.registry.task import register_adapter, track_verdict
from tasks.store import ArtifactStore


def report(
    config: RunConfig,
    sources: RunSources,
    verdict: VerdictArtifact,
    data: DataArtifact,
    base: ModelArtifact,
    arms: tuple[ArmArtifact, ...],
    adapter: AdapterArtifact | None = None,
    benchmark: BenchmarkArtifact | None = None,
) -> ReportArtifact:
    """Write the report, track it in MLflow, and register the adapter when the verdict promotes it."""
    page = write_report(config.name, verdict, data, base, arms, adapter, benchmark)
    if current_plan.get() is None:
        publish_markdown("verdict", (ArtifactStore.from_environment().open(page.digest) / "summary.md").read_text(encoding="utf-8"))
    destination = os.environ.get("MLFLOW_TRACKING_URI", "")
    tracked = track_verdict(config.name, verdict, page, data, base, arms, adapter, benchmark, destination)
    if verdict.promotes and adapter is not None:
        digest = digest_of(dict(flatten("config", config)))
        register_adapter(config.registry, config.task, adapter, base, data, verdict, tracked, destination, config.arms.max_new_tokens, digest)
    if current_plan.get() is None:
        publish_stages()
    return page
