"""What to do next, as data: what advice.json and the terminal show."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas.findings.report import Report

Trend = Literal["rising", "flat", "unclear"]
ErrorKind = Literal["breaks the contract", "cut off", "wrong content"]

NextStep = Literal["use_untrained", "use_tuned", "fix_contract", "more_rows", "another_base", "more_groups_held_out"]


class CurvePoint(Report):
    """The tuned arm after learning from a share of the train groups."""

    share: float
    train_rows: int
    score: float
    low: float
    high: float


class Errors(Report):
    """One kind of wrong answers of an arm: its share of all answers with interval, and rows to look at."""

    kind: ErrorKind
    share: float
    low: float
    high: float
    rows: tuple[int, ...] = Field(description="Row ids of the first ones.")


class Advice(Report):
    """One piece of advice, and the evidence for it."""

    advice: str
    next_step: NextStep
    trend: Trend | None = Field(None, description="From half of the train groups to all of them; None without a curve.")
    curve: tuple[CurvePoint, ...] = ()
    errors: tuple[Errors, ...] = ()
    arm: str = Field(description="The arm whose wrong answers are counted.")
    seconds_needed: float | None = Field(None, description="Training time of the next step, from this run's own.")
