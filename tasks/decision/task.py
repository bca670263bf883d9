"""The decision stages: the verdict on measured arms, their comparison with the champion, and the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.artifacts import (
    AdapterArtifact,
    AdviceArtifact,
    ArmArtifact,
    BenchmarkArtifact,
    DataArtifact,
    EndpointArtifact,
    LeakageArtifact,
    ModelArtifact,
    ReportArtifact,
    SlicesArtifact,
    TimingArtifact,
    VerdictArtifact,
)
from schemas.champion import ComparisonArtifact, LearnedRowsArtifact, ScoredChampionArtifact
from tasks.reuse.stage import WorkDirectory, stage

if TYPE_CHECKING:
    from schemas.sections.benchmark import Require
    from schemas.sections.costs import CostsConfig
    from schemas.sections.decision import DecisionConfig


@stage(libraries=("numpy", "scipy"))
def decide(
    decision: DecisionConfig,
    require: Require | None,
    arms: tuple[ArmArtifact, ...],
    benchmark: BenchmarkArtifact | None,
    data: DataArtifact | None = None,
    leakage: LeakageArtifact | None = None,
    slices: SlicesArtifact | None = None,
    looks: dict[str, int] | None = None,
    siblings: tuple[ArmArtifact, ...] = (),
    costs: CostsConfig | None = None,
    timings: tuple[TimingArtifact, ...] = (),
    adapter: AdapterArtifact | None = None,
    endpoints: tuple[EndpointArtifact, ...] = (),
    failed: dict[str, str] | None = None,
    prices: dict[str, tuple[float, float]] | None = None,
    *,
    workdir: WorkDirectory,
) -> VerdictArtifact:
    """Decide which arm answers the task best, with paired intervals on the same rows; verdict.json has every number.

    Where `data` or `leakage` say that rows are in two places, the verdict says what that means for its scores, and what
    they are without the held-out rows among them. Where `slices` are named, it has every arm's scores on each, and an
    adapter that loses on one is held back. `looks` says how often these rows were asked before, arm by arm;
    `siblings` are the first tuned arm of trainings with other seeds; `costs` are prices, and `timings` what answers
    take. `endpoints` are compared with the arm that the verdict names; `failed` says why some could not be, and
    `prices` what their tokens cost, read and written.
    """
    from tasks.decision.endpoints import with_endpoints, with_teacher
    from tasks.decision.verdict.comparison import COMPLEXITY, compare_arms, read_scores, rows_in
    from tasks.decision.verdict.costs import costs_of, with_costs, within_limits
    from tasks.decision.verdict.errors import count_errors, winnable
    from tasks.decision.verdict.leaks import with_leaks
    from tasks.decision.verdict.looks import with_looks
    from tasks.decision.verdict.rules import judge
    from tasks.decision.verdict.seeds import with_seeds
    from tasks.decision.verdict.slices import sliced, slices_of

    opened = [(arm, workdir.open(arm)) for arm in arms]
    measured = read_scores(opened)
    errors = {arm.arm: count_errors(folder / "answers.parquet", decision.confidence) for arm, folder in opened}
    reports = [one.model_copy(update={"errors": errors[one.arm]}) for one in compare_arms(measured, decision)]
    spent = costs_of(reports, timings, costs)
    judged = judge(within_limits(reports, spent, decision), benchmark, decision, require)
    judged = judged.model_copy(update={"arms": tuple(sorted(judged.arms, key=lambda arm: COMPLEXITY.index(arm.arm)))})
    folder, row_ids = workdir.open(data) if data else None, rows_in(opened[0][1])
    judged = judged.model_copy(update={"winnable": winnable(judged.arms)})
    verdict = with_leaks(judged, measured, row_ids, folder, leakage if benchmark else None)
    verdict = verdict.model_copy(update={"data": data.digest if data else ""})
    if slices is not None:
        verdict = sliced(verdict, measured, slices_of(workdir.open(slices), row_ids), decision)
    verdict = with_teacher(with_looks(verdict, looks or {}), data)
    if spent:
        verdict = with_costs(verdict, spent, costs, adapter)
    answered, bills = [(one, workdir.open(one)) for one in endpoints], (spent, costs, prices or {})
    verdict = with_endpoints(verdict, measured, answered, failed or {}, bills, decision)
    if siblings:
        verdict = with_seeds(verdict, measured, read_scores([(arm, workdir.open(arm)) for arm in siblings]), decision)
    (workdir.out / "verdict.json").write_text(verdict.model_dump_json(indent=1), encoding="utf-8")
    return VerdictArtifact(**verdict.model_dump(include={"verdict", "headline", "is_sufficient", "promotes"}))


@stage(libraries=("numpy", "scipy"))
def compare_champion(
    decision: DecisionConfig,
    version: str,
    asks: str,
    scored: ScoredChampionArtifact,
    learned: LearnedRowsArtifact,
    verdict: VerdictArtifact,
    arms: tuple[ArmArtifact, ...],
    slices: SlicesArtifact | None = None,
    *,
    workdir: WorkDirectory,
) -> ComparisonArtifact:
    """Compare today's arms with the champion, asked as the arm `asks`, on the held-out rows that it did not learn."""
    from schemas.reports import Verdict
    from tasks.decision.champion import compare_with_champion, write_unseen_answers
    from tasks.decision.verdict.comparison import read_scores, rows_in
    from tasks.decision.verdict.slices import slices_of

    measured = read_scores([(arm, workdir.open(arm)) for arm in arms])
    whole = Verdict.model_validate_json((workdir.open(verdict) / "verdict.json").read_text(encoding="utf-8"))
    rows = workdir.open(learned) / "learned.parquet"
    own = workdir.open(scored)
    parts = slices_of(workdir.open(slices), rows_in(own)) if slices else None
    found = compare_with_champion(version, asks, (scored, own), measured, rows, whole, decision, parts)
    write_unseen_answers(own, rows, workdir.out)
    (workdir.out / "champion.json").write_text(found.model_dump_json(indent=1), encoding="utf-8")
    return ComparisonArtifact(version=version, outcome=found.outcome)


@stage(libraries=("matplotlib", "jinja2", "polars"))
def write_report(
    name: str,
    verdict: VerdictArtifact,
    data: DataArtifact,
    base: ModelArtifact,
    arms: tuple[ArmArtifact, ...],
    adapter: AdapterArtifact | None,
    benchmark: BenchmarkArtifact | None,
    comparison: ComparisonArtifact | None = None,
    why_uncompared: str = "",
    *,
    workdir: WorkDirectory,
) -> ReportArtifact:
    """Write the report on a verdict: report.html (self-contained), summary.md for Prefect, and verdict.json.

    `comparison` compares the arms with the registry's champion; where there is none, `why_uncompared` says why.
    """
    from tasks.decision.page.reporting import Measurements, write_pages

    opened = [part for part in (verdict, data, *arms, adapter, comparison) if part is not None]
    folders = {part.digest: workdir.open(part) for part in opened}
    found = Measurements(verdict, data, base, arms, adapter, benchmark, comparison, why_uncompared)
    return ReportArtifact(headline=write_pages(name, found, folders, workdir.out))


@stage(libraries=("numpy", "scipy", "polars", "jinja2"))
def write_advice(
    decision: DecisionConfig,
    page: ReportArtifact,
    shares: dict[str, DataArtifact],
    curve: tuple[ArmArtifact, ...],
    adapter: AdapterArtifact | None,
    *,
    workdir: WorkDirectory,
) -> AdviceArtifact:
    """Say what to do next, as advice.json and as a box in a copy of the report.

    `curve` holds the tuned arm after learning from each of `shares` (share of the train groups -> rows), in their
    order.
    """
    from schemas.reports import Verdict
    from tasks.decision.advising import Learned, advise_on
    from tasks.decision.page.advice_box import with_advice

    report = workdir.open(page)
    verdict = Verdict.model_validate_json((report / "verdict.json").read_text(encoding="utf-8"))
    learned = [
        Learned(float(share), rows.train_rows, workdir.open(arm) / "answers.parquet")
        for (share, rows), arm in zip(shares.items(), curve, strict=True)
    ]
    advice = advise_on(verdict, learned, decision, adapter.seconds if adapter else None)
    (workdir.out / "advice.json").write_text(advice.model_dump_json(indent=1), encoding="utf-8")
    whole = (report / "report.html").read_text(encoding="utf-8")
    (workdir.out / "report.html").write_text(with_advice(whole, advice), encoding="utf-8")
    return AdviceArtifact(next_step=advice.next_step)
