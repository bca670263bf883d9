"""Rows that are in two places: what they mean for a verdict, and the scores without the held-out ones among them."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from schemas.artifacts import LeakageArtifact
from schemas.reports import ScoreWithoutTwins, Verdict
from tasks.decision.verdict.comparison import TRAINED, ArmScores, best_of, only_rows
from tasks.decision.verdict.wording import leak_sentence, without_twins_sentence
from tasks.intervals import mean_interval

HELD_OUT_LEAK = (
    "every arm that learns from train rows or shows them may look better than it is; data.checks: {in_held_out: drop, "
    "near_held_out: drop} takes them out"
)
BENCHMARK_LEAK = "the adapter may have forgotten more than the benchmark shows"


def with_leaks(
    verdict: Verdict, arms: list[ArmScores], row_ids: pl.Series, data: Path | None, leakage: LeakageArtifact | None
) -> Verdict:
    """Return the verdict with a caveat for each kind of rows that are in two places and so make a score look better
    than it is, and with the scores without the held-out rows that have a twin in train. The verdict itself stays.

    Args:
        verdict: on these arms.
        arms: measured on all evaluated rows.
        row_ids: of these rows, in the arms' order.
        data: the opened rows, for train rows that repeat a held-out row.
        leakage: train rows that contain benchmark items; None where no benchmark was run.
    """
    caveats, clean = [], tuple[ScoreWithoutTwins, ...]()
    if data is not None and (repeats := _repeats_kept(data)):
        has_twin = row_ids.is_in(pl.read_parquet(data / "twins.parquet")["held_out"].implode()).to_numpy()
        if has_twin.any() and not has_twin.all():
            clean = _scores([only_rows(one, ~has_twin) for one in arms], verdict)
        told = leak_sentence(repeats, "(nearly) repeat a held-out row and were kept", HELD_OUT_LEAK)
        caveats.append(f"{told} {without_twins_sentence(int(has_twin.sum()), clean)}")
    if leakage is not None and leakage.rows:
        caveats.append(leak_sentence(leakage.rows, "contain a benchmark item", BENCHMARK_LEAK))
    return verdict.model_copy(update={"caveats": tuple(caveats), "without_twins": clean})


def _repeats_kept(data: Path) -> int:
    pairs = json.loads((data / "report.json").read_text(encoding="utf-8"))["leakage"]
    kept = pairs.get("few_shot_pool x held_out", {})
    return int(kept.get("exact", 0) + kept.get("near", 0))


def _scores(arms: list[ArmScores], verdict: Verdict) -> tuple[ScoreWithoutTwins, ...]:
    """Return the score of the arm that the verdict is about, and of the best untrained arm if that is another one."""
    best = best_of(one for one in arms if one.name not in TRAINED)
    named = next(one for one in arms if one.name == verdict.arm)
    return tuple(_score(one, verdict.confidence) for one in ([named] if named is best else [named, best]))


def _score(one: ArmScores, confidence: float) -> ScoreWithoutTwins:
    found = mean_interval(one.scores, confidence=confidence, clusters=one.groups)
    return ScoreWithoutTwins(
        arm=one.name, rows=one.scores.size, groups=found.groups, score=found.mean, low=found.low, high=found.high
    )
