"""The registry stages: a verdict's numbers go to MLflow, and an adapter that earned it becomes a version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.artifacts import (
    AdapterArtifact,
    ArmArtifact,
    BenchmarkArtifact,
    DataArtifact,
    ModelArtifact,
    RegisteredVersion,
    ReportArtifact,
    TrackedRun,
    VerdictArtifact,
)
from tasks.stage import Bench, stage

if TYPE_CHECKING:
    from schemas.arms_config import RetrievalConfig
    from schemas.config import RegistryConfig
    from schemas.task_config import TaskConfig


@stage()
def track_verdict(
    name: str,
    verdict: VerdictArtifact,
    report: ReportArtifact,
    data: DataArtifact,
    base: ModelArtifact,
    arms: tuple[ArmArtifact, ...],
    adapter: AdapterArtifact | None,
    benchmark: BenchmarkArtifact | None,
    destination: str,
    *,
    bench: Bench,
) -> TrackedRun:
    """Write the verdict as one MLflow run in experiment `name`; `destination` is a tracking URI, or "" for the store's own SQLite file."""
    import json

    from tasks.registry.connection import open_registry
    from tasks.registry.story import tell
    from tasks.registry.tracking import track

    page = bench.open(report)
    story = tell(page, verdict, report, data, base, arms, adapter, benchmark, log=bench.open(adapter) / "log.jsonl" if adapter else None)
    with open_registry(destination, bench.store, f"The verdict is in the store ({page / 'verdict.json'}).") as registry:
        run_id = track(registry, name, name, story, identity=report.digest)
    (bench.out / "tracked.json").write_text(json.dumps({"run_id": run_id, "experiment": name, "destination": destination}), encoding="utf-8")
    return TrackedRun(run_id=run_id, experiment=name)


@stage()
def register_adapter(
    registry: RegistryConfig,
    task: TaskConfig,
    retrieval: RetrievalConfig,
    adapter: AdapterArtifact,
    base: ModelArtifact,
    data: DataArtifact,
    verdict: VerdictArtifact,
    tracked: TrackedRun,
    destination: str,
    max_new_tokens: int = 512,
    config_digest: str = "",
    *,
    bench: Bench,
) -> RegisteredVersion:
    """Make the adapter one version of the registered model, and champion when it won its verdict and no better one stands there.

    Where the arm that won retrieves, the version carries what it retrieves from, and answers as the arm did.
    """
    import json

    from transformers import AutoTokenizer

    from schemas.reports import Verdict
    from tasks.inference.golden import verify_golden
    from tasks.registry.carried import Carried, carried_by
    from tasks.registry.connection import open_registry
    from tasks.registry.mlflow_registry import Candidate, place, register
    from tasks.registry.packaging import build_model
    from tasks.registry.served_facts import ServedFacts
    from tasks.registry.story import describe, tuned_arm, version_tags

    whole = Verdict.model_validate_json((bench.open(verdict) / "verdict.json").read_text(encoding="utf-8"))
    carried = carried_by(retrieval, bench.open(data), data.documents > 0) if tuned_arm(whole).arm == "tuned_retrieval" else Carried()
    limits = max_new_tokens, base.name, base.digest, base.template_digest, carried.shown.top_k, carried.digest
    served = ServedFacts(task.instruction, adapter.method, *limits)
    tags = version_tags(whole, adapter, base, data, verdict, config_digest) | carried.tags
    candidate = Candidate(registry.model, adapter.digest, tags, describe(whole, carried.note), tracked.run_id, carried.digest)
    fitted = bench.open(adapter)
    verify_golden(fitted, AutoTokenizer.from_pretrained(str(bench.open(base)), trust_remote_code=False, local_files_only=True))
    with open_registry(destination, bench.store, f"The adapter is sealed in the store ({fitted}).") as reached:
        version = register(reached, candidate, tracked.experiment, bench.folder / "model", lambda folder: build_model(folder, fitted, served, carried.content))
        placed = place(reached, registry.model, version, is_verdict=whole.verdict.startswith("finetune"))
        megabytes = float(reached.client.get_model_version(registry.model, version).tags["megabytes"])
    bench.audience.say(f"registered {registry.model} version {version} as {placed.alias}: {placed.why}; {megabytes:.1f} MB. {carried.note}".rstrip())
    facts = {"model": registry.model, "version": version, "alias": placed.alias, "megabytes": megabytes}
    (bench.out / "registered.json").write_text(json.dumps(facts), encoding="utf-8")
    return RegisteredVersion.model_validate(facts)
