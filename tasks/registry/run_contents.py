"""What is written to MLflow about a verdict and a version: names and texts only, without MLflow itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from schemas import artifacts as sealed
from schemas.artifacts import AdapterArtifact, DataArtifact, ModelArtifact, VerdictArtifact
from schemas.reports import ArmReport, Verdict
from tasks.registry.tracking import RunContents, mlflow_key, read_curve, verdict_numbers


def verdict_run(
    page: Path,
    verdict: VerdictArtifact,
    report: sealed.ReportArtifact,
    data: DataArtifact,
    base: ModelArtifact,
    arms: Sequence[sealed.ArmArtifact],
    adapter: AdapterArtifact | None,
    benchmark: sealed.BenchmarkArtifact | None,
    log: Path | None,
) -> RunContents:
    """Return what a verdict's MLflow run contains; `page` is the report's folder, `log` the training log if any."""
    whole = Verdict.model_validate_json((page / "verdict.json").read_text(encoding="utf-8"))
    found: dict[str, sealed.Artifact | None] = {"verdict": verdict, "report": report, "data": data, "base": base}
    found |= {"adapter": adapter, "benchmark": benchmark} | {f"arm.{mlflow_key(arm.arm)}": arm for arm in arms}
    tags = {f"{name}_digest": artifact.digest for name, artifact in found.items() if artifact is not None}
    words = {"verdict": whole.verdict, "verdict_arm": whole.arm, "headline": whole.headline}
    words |= {"mlflow.note.content": _note(whole)} | ({"gate": whole.gate.state} if whole.gate else {})
    words |= {"template_digest": base.template_digest, "base_name": base.name}
    numbers = verdict_numbers(whole)
    numbers |= {f"arm/{mlflow_key(arm.arm)}/seconds_per_row": arm.seconds_per_row for arm in arms}
    params = {"target": "none" if whole.target is None else f"{whole.target:g}", "base": base.name}
    params |= {"worth": f"{whole.worth:g}", "confidence": f"{whole.confidence:g}"}
    if adapter is not None:
        params |= {"method": adapter.method}
        took = ("parameters", "steps", "train_tokens", "seconds")
        numbers |= {f"train/{name}": float(getattr(adapter, name)) for name in took}
    names = ("report.html", "verdict.json", "flips.parquet")
    files = tuple(page / name for name in names if (page / name).exists())
    return RunContents(params, tags | words, numbers, read_curve(log) if log else [], files)


def _note(verdict: Verdict) -> str:
    told = (verdict.recommendation, *verdict.caveats)
    return "\n".join([f"**{verdict.headline}**", "", *told, "", *(f"- {reason}" for reason in verdict.reasons)])


def version_tags(
    verdict: Verdict,
    adapter: AdapterArtifact,
    base: ModelArtifact,
    data: DataArtifact,
    decided: VerdictArtifact,
    config_digest: str,
) -> dict[str, str]:
    """Return the tags of a version: where it comes from, by digest, and what it scored."""
    arm = tuned_arm(verdict)
    numbers = {"score": arm.score, "score_low": arm.low, "score_high": arm.high}
    gains = {"gain": arm.gain, "gain_low": arm.gain_low, "gain_high": arm.gain_high}
    tags = {
        "adapter_digest": adapter.digest,
        "base_digest": base.digest,
        "base_name": base.name,
        "template_digest": base.template_digest,
        "data_digest": data.digest,
        "verdict_digest": decided.digest,
        "config_digest": config_digest,
        "method": adapter.method,
        "verdict": verdict.verdict,
        "arm": arm.arm,
        "rows": str(verdict.rows),
        "groups": str(verdict.groups),
    }
    return tags | {name: f"{value:.6f}" for name, value in (numbers | gains).items() if value is not None}


def measuring_tags(verdict: Verdict, settings: Mapping[str, str]) -> dict[str, str]:
    """Return the tags with which a later run measures this version again: its arm's settings, and the split."""
    found = {"arm_settings": settings.get(f"arm.{tuned_arm(verdict).arm}"), "split": settings.get("split")}
    return {name: text for name, text in found.items() if text is not None}


def describe(verdict: Verdict, carried: str) -> str:
    """Return a version's description: the headline, what was forgotten, what it retrieves from (`carried`, or "")."""
    forgotten = f"{verdict.gate.in_words}." if verdict.gate else ""
    return " ".join(part for part in (verdict.headline, forgotten, carried) if part)


def tuned_arm(verdict: Verdict) -> ArmReport:
    """Return the tuned arm that earned its place."""
    return next(arm for arm in verdict.arms if arm.arm == verdict.tuned_arm)
