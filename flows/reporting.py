"""What a run publishes: a report on its rows and, at its end, the verdict, shown in Prefect and tracked in MLflow; an
adapter that earned its place is registered.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from flows.champion import Compared, compare_with_champion, no_answer, version_settings
from flows.inputs.sources import RunSources
from schemas.artifacts import (
    AdapterArtifact,
    ArmArtifact,
    BenchmarkArtifact,
    DataArtifact,
    DataReportArtifact,
    EndpointArtifact,
    LeakageArtifact,
    ModelArtifact,
    RenderingArtifact,
    ReportArtifact,
    SlicesArtifact,
    VerdictArtifact,
)
from schemas.champion import RegistryLookup
from schemas.config import RunConfig
from tasks.data.reporting.earlier import earlier_data
from tasks.data.task import write_data_report
from tasks.decision.task import write_report
from tasks.registry.task import register_adapter, track_verdict
from tasks.reuse.current_store import current_store
from tasks.reuse.keys import digest_of, flatten
from tasks.reuse.planning import current_plan, planning
from tasks.reuse.prefect_tasks import publish_markdown, publish_stages, publish_table


def report_data(
    config: RunConfig,
    data: DataArtifact,
    rendering: RenderingArtifact | None = None,
    leakage: LeakageArtifact | None = None,
) -> DataReportArtifact:
    """Write the report on the rows; show it, with the first rows that were taken out, on the flow run's page."""
    page = write_data_report(config.name, data, earlier_data(data), rendering, leakage)
    if current_plan.get() is None:
        publish_markdown("rows", (_opened(page) / "summary.md").read_text(encoding="utf-8"))
        refused = json.loads((_opened(page) / "refused.json").read_text(encoding="utf-8"))
        publish_table(
            "refused-rows",
            refused,
            f"The first {len(refused)} of {data.refused_rows} rows that were taken out, and how to fix them",
        )
    return page


def _opened(page: DataReportArtifact | ReportArtifact) -> Path:
    return current_store().open(page.digest)


def report(
    config: RunConfig,
    sources: RunSources,
    verdict: VerdictArtifact,
    data: DataArtifact,
    base: ModelArtifact,
    arms: tuple[ArmArtifact, ...],
    adapter: AdapterArtifact | None = None,
    benchmark: BenchmarkArtifact | None = None,
    look: RegistryLookup | None = None,
    slices: SlicesArtifact | None = None,
    endpoints: tuple[EndpointArtifact, ...] = (),
    searched: DataArtifact | None = None,
) -> ReportArtifact:
    """Compare the arms with the registry's champion, write the report, track it in MLflow, and register the adapter
    when the verdict promotes it.

    Where MLflow does not answer, its last known answer is used only if the whole report is in the store with it;
    otherwise the run goes on without a champion.
    """
    if look is not None and look.is_remembered:
        known = look.model_copy(update={"is_remembered": False})
        measured = verdict, data, base, arms, adapter, benchmark
        with planning() as trial:
            report(config, sources, *measured, known, slices, endpoints, searched)
        look = known if trial.is_all_hits else no_answer()
    compared = compare_with_champion(config, look, base, data, verdict, arms, adapter, slices) if look else Compared()
    against = compared.comparison, compared.why_not
    page = write_report(config.name, verdict, data, base, (*arms, *endpoints), adapter, benchmark, *against)
    if current_plan.get() is None:
        publish_markdown("verdict", (_opened(page) / "summary.md").read_text(encoding="utf-8"))
    destination = os.environ.get("MLFLOW_TRACKING_URI", "")
    tracked = track_verdict(config.name, verdict, page, data, base, arms, adapter, benchmark, destination)
    if verdict.promotes and adapter is not None:
        digest = digest_of(dict(flatten("config", config)))
        settings = config.registry, config.task, config.arms.retrieval
        served = (config.arms.max_new_tokens, digest, version_settings(config, data))
        register_adapter(*settings, adapter, base, searched or data, verdict, tracked, destination, *served, *against)
    if current_plan.get() is None:
        publish_stages()
    return page
