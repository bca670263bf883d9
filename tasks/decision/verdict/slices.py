"""The arms on slices of the held-out rows, and the slices on which the tuned arm loses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from schemas.reports import SliceArm, SliceReport, Verdict
from tasks.decision.verdict.comparison import ArmScores, Kept, claimed_of, ends, only_rows, untrained_rival
from tasks.decision.verdict.wording import at_confidence, slices_in_words
from tasks.intervals import Interval, differences_of, interval_of, mean_interval, p_below
from tasks.statistics.clusters import FEWEST_GROUPS

if TYPE_CHECKING:
    from schemas.sections.decision import DecisionConfig

Name = tuple[str, str]  # column, value


def slices_of(slices: Path, row_ids: pl.Series) -> dict[Name, Kept]:
    """Return which of the measured rows have each value; values without such rows are left out.

    Args:
        slices: opened SlicesArtifact of all held-out rows.
        row_ids: of the measured rows, in the order of all arms' scores.
    """
    rows, found = row_ids.to_frame("row_id"), dict[Name, Kept]()
    for (column,), table in pl.read_parquet(slices / "slices.parquet").group_by("column", maintain_order=True):
        values = rows.join(table, on="row_id", how="left", maintain_order="left")["value"]
        found |= {(str(column), value): (values == value).to_numpy() for value in sorted(values.unique())}
    return found


def sliced(verdict: Verdict, arms: list[ArmScores], slices: dict[Name, Kept], decision: DecisionConfig) -> Verdict:
    """Return the verdict with its arms on every slice; an adapter that loses on one is held back."""
    rival = untrained_rival(arms, decision)
    tuned = next((one for one in arms if verdict.compared and one.name == verdict.compared[1]), None)
    gains = compared_on(slices, rival, tuned, decision.confidence) if tuned else {}
    reports = tuple(_report(name, rows, arms, gains.get(name), decision) for name, rows in slices.items())
    lost = {name: gain for name, (gain, has_lost) in gains.items() if has_lost}
    changes = _held_back(verdict, rival.name, lost, decision.confidence) if lost and verdict.promotes else {}
    return verdict.model_copy(update={"slices": reports, **changes})


def _held_back(verdict: Verdict, rival: str, lost: dict[Name, Interval], confidence: float) -> dict[str, Any]:
    """Return what slices change about a verdict that would have its adapter become champion."""
    tuned = verdict.tuned_arm
    why = (
        f"{tuned} is worse than {rival}, {at_confidence(confidence)}, on a slice of the rows ({slices_in_words(lost)})"
    )
    advice = (
        f"Let {rival} answer the rows of the slice on which {tuned} loses, or add train rows of that kind: until then "
        f"the adapter is a challenger and does not become champion. Over all rows: {verdict.recommendation}"
    )
    return {"held_back": why, "caveats": (*verdict.caveats, f"{why}."), "recommendation": advice}


def compared_on(
    slices: dict[Name, Kept], before: ArmScores, after: ArmScores, confidence: float
) -> dict[Name, tuple[Interval, bool]]:
    """Return the paired difference (after - before) on each slice, and whether it is a loss at confidence.

    Slices with groups enough are one family for Holm's correction; the others are no evidence.
    """
    samples = {
        name: differences_of(before.scores[rows], after.scores[rows], only_rows(before, rows).groups)
        for name, rows in slices.items()
    }
    told = {name: p_below(sample, 0.0) for name, sample in samples.items() if sample.groups >= FEWEST_GROUPS}
    lost = claimed_of(told, confidence)
    return {name: (interval_of(sample, confidence), name in lost) for name, sample in samples.items()}


def _report(
    name: Name, rows: Kept, arms: list[ArmScores], gain: tuple[Interval, bool] | None, decision: DecisionConfig
) -> SliceReport:
    parts = [only_rows(one, rows) for one in arms]
    scores = [mean_interval(one.scores, confidence=decision.confidence, clusters=one.groups) for one in parts]
    return SliceReport(
        column=name[0],
        value=name[1],
        rows=int(rows.sum()),
        groups=scores[0].groups,
        arms=tuple(
            SliceArm(arm=one.name, score=score.mean, low=score.low, high=score.high)
            for one, score in zip(parts, scores, strict=True)
        ),
        **ends("gain", gain[0] if gain else None),
        has_lost=gain is not None and gain[1],
    )
