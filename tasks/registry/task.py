"""The registry stages: fetch the champion, write a verdict to MLflow, make an adapter that earned it a version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas import artifacts as sealed
from schemas.artifacts import AdapterArtifact, DataArtifact, ModelArtifact, RegisteredVersion, TrackedRun
from schemas.champion import ChampionArtifact, ComparisonArtifact
from tasks.reuse.stage import WorkDirectory, stage

if TYPE_CHECKING:
    from schemas.champion import Champion
    from schemas.config import RegistryConfig
    from schemas.sections.arms import RetrievalConfig
    from schemas.sections.task import TaskConfig


@stage()
def fetch_champion(
    champion: Champion, outside: tuple[str, ...] | None, destination: str, *, workdir: WorkDirectory
) -> ChampionArtifact:
    """Seal what is served of the champion, so that it can be measured: from the store, or the same from MLflow.

    `outside` is None while the store has the adapter, else the files that MLflow has of it. Where both are unavailable
    the reason is sealed, and the stage runs again as soon as one of the two has changed.
    """
    from tasks.inference.prompts.golden import golden_instruction
    from tasks.registry.fetching import copy_served, fetch_served

    is_here = outside is None and copy_served(champion, workdir.store, workdir.out)
    places = workdir.store, workdir.folder / "download", workdir.out
    problem = "" if is_here else fetch_served(destination, champion, *places)
    if problem:
        (workdir.out / "problem.txt").write_text(problem, encoding="utf-8")
        workdir.reporter.say(f"the champion cannot be measured: {problem}")
    facts = champion.model_dump(include={"method", "base_digest", "template_digest"})
    return ChampionArtifact(**facts, instruction="" if problem else golden_instruction(workdir.out), problem=problem)


@stage()
def track_verdict(
    name: str,
    verdict: sealed.VerdictArtifact,
    report: sealed.ReportArtifact,
    data: DataArtifact,
    base: ModelArtifact,
    arms: tuple[sealed.ArmArtifact, ...],
    adapter: AdapterArtifact | None,
    benchmark: sealed.BenchmarkArtifact | None,
    destination: str,
    *,
    workdir: WorkDirectory,
) -> TrackedRun:
    """Write the verdict as an MLflow run in experiment `name`; `destination` is a tracking URI, "" for the store's."""
    import json

    from tasks.registry.connection import open_registry
    from tasks.registry.run_contents import verdict_run
    from tasks.registry.tracking import track

    page = workdir.open(report)
    log = workdir.open(adapter) / "log.jsonl" if adapter else None
    contents = verdict_run(page, verdict, report, data, base, arms, adapter, benchmark, log)
    kept = f"The verdict is in the store ({page / 'verdict.json'})."
    with open_registry(destination, workdir.store, kept) as registry:
        run_id = track(registry, name, name, contents, identity=report.digest)
    tracked = json.dumps({"run_id": run_id, "experiment": name, "destination": destination})
    (workdir.out / "tracked.json").write_text(tracked, encoding="utf-8")
    return TrackedRun(run_id=run_id, experiment=name)


@stage()
def register_adapter(
    registry: RegistryConfig,
    task: TaskConfig,
    retrieval: RetrievalConfig,
    adapter: AdapterArtifact,
    base: ModelArtifact,
    data: DataArtifact,
    verdict: sealed.VerdictArtifact,
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
    """Make the adapter a version of the registered model, and champion when it won and is not worse than the champion.

    Where the arm that won retrieves, the version includes what it retrieves from, and answers as the arm did.
    `settings` holds, as JSON, the settings of each tuned arm (arm.NAME) and how rows were split (split): what a later
    run needs to measure this version. `comparison` is with the champion, on today's rows; where there is none,
    `why_uncompared` gives the reason.
    """
    import json

    from tasks.registry.registering import Winner, register_and_place

    winner = Winner(adapter, base, data, verdict, tracked, workdir)
    carried = winner.carried(retrieval)
    served = winner.served(task, max_new_tokens, carried)
    candidate = winner.candidate(registry.model, config_digest, settings or {}, carried, served.grammar)
    winner.verify_rendering()
    registered = register_and_place(winner, candidate, served, carried, destination, comparison, why_uncompared)
    facts = registered.model_dump(exclude={"digest"})
    (workdir.out / "registered.json").write_text(json.dumps(facts), encoding="utf-8")
    return registered
