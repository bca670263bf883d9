"""Slices as data: the arms on the held-out rows that share one value of a column."""

from __future__ import annotations

from pydantic import Field

from schemas.report import Report


class SliceArm(Report):
    """One arm's mean score on a slice, with its interval."""

    arm: str
    score: float
    low: float
    high: float


class SliceReport(Report):
    """The held-out rows with one value of a column of `decision.slices`."""

    column: str
    value: str
    rows: int
    groups: int = Field(description="Groups of rows that the intervals rest on; below 8 nothing is claimed.")
    arms: tuple[SliceArm, ...]
    gain: float | None = Field(
        None, description="Tuned arm minus best untrained arm (Verdict.compared); None where nothing was trained."
    )
    gain_low: float | None = None
    gain_high: float | None = None
    has_lost: bool = Field(
        False, description="The gain is below 0 at confidence, corrected by Holm over the slices with enough groups."
    )
