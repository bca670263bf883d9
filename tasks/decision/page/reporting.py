"""The report on a verdict: the HTML page, the markdown for Prefect, and verdict.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.artifacts import (
    AdapterArtifact,
    ArmArtifact,
    BenchmarkArtifact,
    DataArtifact,
    ModelArtifact,
    VerdictArtifact,
)
from schemas.champion import ComparisonArtifact
from schemas.findings.endpoints import EndpointReport
from schemas.findings.loss import BenchmarkTask, NeutralLoss
from schemas.reports import ArmReport, ChampionReport, Verdict
from tasks.decision.page.details import both_readings, detail_tables, other_metrics
from tasks.decision.page.flips import browsed, flips_of, read_rows
from tasks.decision.page.report_page import ReportPage, render_report
from tasks.decision.verdict.wording import signed_spread


@dataclass(frozen=True)
class Measurements:
    """The artifacts that a verdict is based on."""

    verdict: VerdictArtifact
    data: DataArtifact
    base: ModelArtifact
    arms: tuple[ArmArtifact, ...]
    adapter: AdapterArtifact | None
    benchmark: BenchmarkArtifact | None
    comparison: ComparisonArtifact | None = None
    why_uncompared: str = ""


def write_pages(name: str, found: Measurements, folders: dict[str, Path], out: Path) -> str:
    """Write report.html, flips.parquet, summary.md and verdict.json into `out` and return the headline.

    Args:
        name: the run's name.
        found: the artifacts that the verdict is based on.
        folders: digest -> opened folder, for the verdict, the data, the arms, the adapter and the comparison.
        out: where the files go.
    """
    verdict = _with_champion(found, folders)
    answers = {arm.arm: folders[arm.digest] / "answers.parquet" for arm in found.arms}
    if found.comparison is not None:
        answers["champion"] = folders[found.comparison.digest] / "answers.parquet"
    rows = read_rows(folders[found.data.digest] / "held_out.parquet", answers)
    flips = flips_of(rows, verdict)
    flips.write_parquet(out / "flips.parquet", compression="zstd", statistics=False)
    page = ReportPage(
        name=name,
        verdict=verdict,
        data=found.data,
        rows=browsed(rows, flips, list(answers)),
        log=_log(folders[found.adapter.digest]) if found.adapter else (),
        training=_training_facts(found.adapter) if found.adapter else (),
        digests=_digests(found),
        details=detail_tables({arm.arm: folders[arm.digest] for arm in found.arms}),
    )
    (out / "report.html").write_text(render_report(page), encoding="utf-8")
    (out / "summary.md").write_text(summary(name, verdict), encoding="utf-8")
    (out / "verdict.json").write_text(verdict.model_dump_json(indent=1), encoding="utf-8")
    return verdict.headline


def _with_champion(found: Measurements, folders: dict[str, Path]) -> Verdict:
    """Return the verdict with the comparison with the champion added; the verdict itself is unchanged."""
    verdict = Verdict.model_validate_json((folders[found.verdict.digest] / "verdict.json").read_text(encoding="utf-8"))
    if found.comparison is None:
        return verdict.model_copy(update={"champion_note": found.why_uncompared})
    text = (folders[found.comparison.digest] / "champion.json").read_text(encoding="utf-8")
    return verdict.model_copy(update={"champion": ChampionReport.model_validate_json(text)})


def _log(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def _training_facts(adapter: AdapterArtifact) -> tuple[str, ...]:
    size = f"{adapter.parameters:,} trained parameters"
    validation = () if adapter.validation_loss is None else (f"validation loss {adapter.validation_loss:.3f}",)
    return (adapter.method, size, f"{adapter.steps} steps", f"{adapter.train_tokens:,} tokens", *validation)


def _digests(found: Measurements) -> dict[str, str]:
    parts = ("verdict", "data", "base", "adapter", "benchmark", "comparison")
    named = {name: part.digest for name in parts if (part := getattr(found, name)) is not None}
    return named | {f"arm {arm.arm}": arm.digest for arm in found.arms} | {"chat template": found.base.template_digest}


def _champion_lines(verdict: Verdict) -> list[str]:
    """Return the champion's line of the arms' table with its reasons, or why there is none."""
    champion = verdict.champion
    if champion is None:
        return ["", f"Champion: {verdict.champion_note}.", ""] if verdict.champion_note else []
    cells = (f"champion, version {champion.version}", *_measured(champion), f"{champion.lead:+.3f}", "")
    return [f"| {' | '.join(cells)} |", "", *(f"- {reason}" for reason in champion.reasons), ""]


def _measured(arm: ArmReport | ChampionReport | EndpointReport) -> tuple[str, ...]:
    score = f"{arm.score:.3f}", f"{arm.low:.3f} to {arm.high:.3f}", f"{arm.valid_rate:.0%}"
    return str(arm.rows), str(arm.groups), *score, f"{arm.prompt_tokens:.0f}", f"{arm.output_tokens:.0f}"


def summary(name: str, verdict: Verdict) -> str:
    """Return the verdict as markdown for the flow run's page."""
    lines = [f"# {name}: {verdict.verdict.replace('_', ' ')}", "", f"**{verdict.headline}**", ""]
    lines += [verdict.recommendation, "", *(line for caveat in verdict.caveats for line in (caveat, ""))]
    lines += [
        f"| arm | rows | groups | score | {verdict.confidence:.0%} interval | valid | tokens in / row | "
        "tokens out / row | gain | strict / lenient |",
        "|---|---:|---:|---:|---|---:|---:|---:|---:|---:|",
    ]
    for arm in verdict.arms:
        gain = "" if arm.gain is None else f"{arm.gain:+.3f}"
        readings = "; ".join(filter(None, (both_readings(arm), other_metrics(arm))))
        cells = (arm.arm, *_measured(arm), gain, readings)
        lines.append(f"| {' | '.join(cells)} |")
    for one in verdict.endpoints:
        texts = ["", "", "failed"] if one.problem else _measured(one)
        lines.append(f"| {' | '.join((one.name, *texts))} |")
    lines += _champion_lines(verdict)
    lines += [text for one in (verdict.winnable, verdict.retrieval_in_words) if one for text in ("", one)]
    if verdict.gate:
        lines += ["", f"{verdict.gate.in_words}.", ""]
        lines += [
            f"| benchmark | items | base | tuned | change | interval | margin {verdict.gate.margin:g} |",
            "|---|---:|---:|---:|---:|---|---|",
        ]
        lines += [f"| {' | '.join(_gate_cells(task.task, task.items, task))} |" for task in verdict.gate.shown]
        if neutral := verdict.gate.neutral:
            told = _gate_cells("neutral text (nats a token: more is worse)", neutral.texts, neutral)
            lines.append(f"| {' | '.join(told)}, margin {neutral.margin:g} |")
    return "\n".join([*lines, "", *(f"- {reason}" for reason in verdict.reasons), ""])


def _gate_cells(name: str, items: int, task: BenchmarkTask | NeutralLoss) -> tuple[str, ...]:
    numbers = (f"{task.base:.3f}", f"{task.tuned:.3f}", f"{task.difference:+.3f}", signed_spread(task.low, task.high))
    return (name, str(items), *numbers, task.standing)
