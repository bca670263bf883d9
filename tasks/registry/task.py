"""The registry stages: the champion is had back, a verdict's numbers go to MLflow, and an adapter that earned it
becomes a version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.artifacts import (
    AdapterArtifact,
    ArmArtifact,
    BenchmarkArtifact,
    ChampionArtifact,
    ComparisonArtifact,
    DataArtifact,
    ModelArtifact,
    RegisteredVersion,
    ReportArtifact,
    TrackedRun,
    VerdictArtifact,
)
from tasks.reuse.stage import WorkDirectory, stage

if TYPE_CHECKING:
    from schemas.arms_config import RetrievalConfig
    from schemas.champion import Champion
    from schemas.config import RegistryConfig
    from schemas.task_config import TaskConfig


@stage()
def fetch_champion(
    champion: Champion, outside: tuple[str, ...] | None, destination: str, *, workdir: WorkDirectory
) -> ChampionArtifact:
    """Seal what is served of the champion, so that it can be measured: out of the store, or, with the digest that it
    had, out of MLflow.

    `outside` is None while the store has the adapter, else the files that MLflow has of it. What cannot be had is
    sealed as a problem in words, which is looked into again as soon as one of the two has changed.
    """
    from tasks.inference.prompts.golden import golden_instruction
    from tasks.registry.fetching import copy_served, fetch_served

    is_here = outside is None and copy_served(champion, workdir.store, workdir.out)
    problem = (
        "" if is_here else fetch_served(destination, champion, workdir.store, workdir.folder / "download", workdir.out)
    )
    if problem:
        (workdir.out / "problem.txt").write_text(problem, encoding="utf-8")
        workdir.reporter.say(f"the champion cannot be measured: {problem}")
    facts = champion.model_dump(include={"method", "base_digest", "template_digest"})
    return ChampionArtifact(**facts, instruction="" if problem else golden_instruction(workdir.out), problem=problem)


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
    workdir: WorkDirectory,
) -> TrackedRun:
    """Write the verdict as one MLflow run in experiment `name`; `destination` is a tracking URI, or "" for the store's
    own SQLite file.
    """
    import json

    from tasks.registry.connection import open_registry
    from tasks.registry.story import tell
    from tasks.registry.tracking import track

    page = workdir.open(report)
    story = tell(
        page,
        verdict,
        report,
        data,
        base,
        arms,
        adapter,
        benchmark,
        log=workdir.open(adapter) / "log.jsonl" if adapter else None,
    )
    with open_registry(
        destination, workdir.store, f"The verdict is in the store ({page / 'verdict.json'})."
    ) as registry:
        run_id = track(registry, name, name, story, identity=report.digest)
    (workdir.out / "tracked.json").write_text(
        json.dumps({"run_id": run_id, "experiment": name, "destination": destination}), encoding="utf-8"
    )
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
    settings: dict[str, str] | None = None,
    comparison: ComparisonArtifact | None = None,
    why_uncompared: str = "",
    *,
    workdir: WorkDirectory,
) -> RegisteredVersion:
    """Make the adapter one version of the registered model, and champion when it won its verdict and is no worse than
    who stands there.

    Where the arm that won retrieves, the version carries what it retrieves from, and answers as the arm did.
    `settings` tell how each tuned arm asks (arm.NAME) and how rows were split (split), as JSON: what a later run has to
    know to measure this version. `comparison` is with the champion, on today's rows; where there is none,
    `why_uncompared` tells the reason.
    """
    import json

    from transformers import AutoTokenizer

    from schemas.reports import ChampionReport, Verdict
    from tasks.inference.prompts.golden import verify_golden
    from tasks.registry.connection import open_registry
    from tasks.registry.fetching import served_digest
    from tasks.registry.mlflow_registry import Candidate, register
    from tasks.registry.placing import moving, place
    from tasks.registry.story import asking_tags, describe, tuned_arm, version_tags
    from tasks.registry.version.carried import Carried, carried_by
    from tasks.registry.version.packaging import build_model
    from tasks.registry.version.served_facts import ServedFacts

    whole = Verdict.model_validate_json((workdir.open(verdict) / "verdict.json").read_text(encoding="utf-8"))
    carried = (
        carried_by(retrieval, workdir.open(data), data.documents > 0)
        if tuned_arm(whole).arm == "tuned_retrieval"
        else Carried()
    )
    limits = max_new_tokens, base.name, base.digest, base.template_digest, carried.shown.top_k, carried.digest
    served = ServedFacts(task.instruction, adapter.method, *limits)
    beside = (
        ChampionReport.model_validate_json((workdir.open(comparison) / "champion.json").read_text(encoding="utf-8"))
        if comparison
        else None
    )
    fitted = workdir.open(adapter)
    tags = version_tags(whole, adapter, base, data, verdict, config_digest) | asking_tags(whole, settings or {})
    tags |= {"served_digest": served_digest(fitted, carried.content)} | carried.tags
    candidate = Candidate(
        registry.model,
        adapter.digest,
        tags,
        describe(whole, carried.note),
        tracked.run_id,
        carried.digest,
        carried.shown.top_k,
    )
    verify_golden(
        fitted, AutoTokenizer.from_pretrained(str(workdir.open(base)), trust_remote_code=False, local_files_only=True)
    )
    with open_registry(destination, workdir.store, f"The adapter is sealed in the store ({fitted}).") as reached:
        version = register(
            reached,
            candidate,
            tracked.experiment,
            workdir.folder / "model",
            lambda folder: build_model(folder, fitted, served, carried.content),
        )
        with moving(
            workdir.store,
            destination,
            registry.model,
            lambda owner: workdir.reporter.say(f"waits: {owner} moves aliases of {registry.model}"),
        ):
            placed = place(
                reached, candidate, version, beside, why_uncompared, is_verdict=whole.verdict.startswith("finetune")
            )
        megabytes = float(reached.client.get_model_version(registry.model, version).tags["megabytes"])
    workdir.reporter.say(
        f"registered {registry.model} version {version} as {placed.alias}: {placed.why}; {megabytes:.1f} MB. "
        f"{carried.note}".rstrip()
    )
    facts = {"model": registry.model, "version": version, "alias": placed.alias, "megabytes": megabytes}
    (workdir.out / "registered.json").write_text(json.dumps(facts), encoding="utf-8")
    return RegisteredVersion.model_validate(facts)
