"""The main path. Read this file and you know the system: rows in, a verdict and, if it is earned, a registered adapter
out.

Every call below is a stage: answered from the store when its key is known, else run, sealed and recorded.
`plan` walks this same body without running anything (tasks/reuse/planning.py).
"""

from __future__ import annotations

from prefect import flow

from flows.arms import refuse_more_than_rows, score_arms, score_endpoints, time_arms, with_index
from flows.champion import look_for_champion
from flows.inputs.rows import checked_rows
from flows.inputs.sources import locate
from flows.live import live_in_mlflow
from flows.mending import retry_when_broken
from flows.reporting import report, report_data
from flows.siblings import score_siblings, train_siblings
from flows.worker.dispatch import send_training
from schemas.artifacts import ReportArtifact
from schemas.config import RunConfig
from tasks.base.task import fetch_base
from tasks.benchmark.task import benchmark_adapter, gather_benchmark
from tasks.data.task import check_leakage, check_rendering, read_slices
from tasks.decision.measured_before import looks_at
from tasks.decision.task import decide
from tasks.reuse.planning import enter_run
from tasks.training.task import gather_replay


@flow(name="finetune", flow_run_name="{config.name}", persist_result=False)
@retry_when_broken
def finetune(config: RunConfig) -> ReportArtifact:
    """Find out whether prompting, retrieval or tuning answers a task best, and register an adapter that earned it."""
    enter_run(config.name, config.stages)
    sources = locate(config)
    champion = look_for_champion(config)
    data = checked_rows(config, sources)
    refuse_more_than_rows(config.arms, data)
    slices = read_slices(config.decision.slices, data, sources.data.every_row) if config.decision.slices else None
    base = fetch_base(sources.base)
    searched = with_index(config, sources.encoder, data)
    rendering = check_rendering(config.task, base, searched if config.learned_context else data, *config.rendered)
    leakage = check_leakage(data, sources.benchmark, sources.cached_items)
    report_data(config, data, rendering, leakage)

    decision = config.decision.for_answers(config.task.answer)
    untrained = score_arms(config.task, config.arms, config.seed, config.arms.untrained, base, data, None, searched)
    endpoints, failed = score_endpoints(config, data)
    beside = endpoints, failed, config.arms.prices
    timings = time_arms(config, base, data, None, config.arms.untrained, searched)
    looks = looks_at(data, untrained)
    known = data, None, slices, looks, (), config.costs, timings, None
    first = decide(decision, None, untrained, None, *known, *beside, subject="untrained")
    if first.is_sufficient or not config.arms.trained:
        return report(config, sources, first, data, base, untrained, look=champion, endpoints=endpoints)

    benchmark_files = gather_benchmark(sources.benchmark)
    replay = gather_replay(sources.benchmark.neutral) if config.training.replay else None
    send_training(config, rendering, base, data, benchmark_files, replay, searched)
    with live_in_mlflow(config.name):
        adapter, *others = train_siblings(config, rendering, base, data, replay)
    trained = score_arms(config.task, config.arms, config.seed, config.arms.trained, base, data, adapter, searched)
    siblings = score_siblings(config, base, data, others, searched)
    benchmark = benchmark_adapter(
        config.benchmark.asking(decision.confidence), base, adapter, config.seed, benchmark_files
    )
    looks = looks_at(data, untrained + trained)
    arms, require = untrained + trained, config.benchmark.require
    timings += time_arms(config, base, data, adapter, config.arms.trained, searched)
    spent = config.costs, timings, adapter
    verdict = decide(decision, require, arms, benchmark, data, leakage, slices, looks, siblings, *spent, *beside)
    return report(config, sources, verdict, data, base, arms, adapter, benchmark, champion, slices, endpoints, searched)
