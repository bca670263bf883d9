"""Several trainings of one recipe, as data."""

from __future__ import annotations

from pydantic import Field

from schemas.findings.report import Report


class SeedReport(Report):
    """One arm of each of several trainings that differ in their seed only."""

    arm: str
    scores: tuple[float, ...] = Field(description="Of the adapter that is judged first, then of the others.")
    spread: float = Field(description="Standard deviation of the scores.")
    gain: float = Field(description="Mean gain over the best untrained arm.")
    gain_low: float = Field(description="Of the recipe: rows and seeds are both sources of error.")
    gain_high: float
    is_worth_it: bool = Field(description="The low end of the recipe's gain is at or above `worth`.")
    in_words: str
