"""What arms cost, as data."""

from __future__ import annotations

from pydantic import Field

from schemas.findings.report import Report


class ArmCost(Report):
    """What one arm takes: seconds of an answer, one request at a time, and money where there are prices."""

    arm: str
    rows: int = Field(description="Held-out rows that were timed.")
    p50_seconds: float
    p95_seconds: float
    per_thousand: float | None = Field(None, description="Price of 1,000 answers.")


class CostReport(Report):
    """Costs of all arms, and when tuning pays for itself."""

    currency: str | None = None
    arms: tuple[ArmCost, ...]
    training: float | None = Field(None, description="Price of the training, from the seconds that it took.")
    break_even_requests: int | None = Field(
        None, description="Answers after which training has paid for itself; None where it never does."
    )
    in_words: tuple[str, ...]
