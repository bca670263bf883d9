"""How endpoints answer the held-out rows, and whether an arm can take their place, as data."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas.findings.report import Report


class Replacement(Report):
    """An arm in place of an endpoint, compared row by row."""

    arm: str
    difference: float = Field(description="The arm minus the endpoint.")
    low: float
    high: float
    outcome: Literal["as_good", "unclear", "worse"] = Field(
        description="as_good: not worse by `worth`, at confidence; worse: behind by more than that, at confidence; all "
        "of a verdict's are one family for Holm's correction."
    )
    saved: float | None = Field(None, description="What 1,000 answers cost less; None without prices of both.")
    in_words: str


class EndpointReport(Report):
    """An endpoint on the held-out rows; the verdict does not depend on it."""

    name: str
    problem: str = Field("", description="Why it could not be measured; its numbers are then 0 and mean nothing.")
    model: str = ""
    rows: int = 0
    groups: int = 0
    score: float = 0
    low: float = 0
    high: float = 0
    valid_rate: float = 0
    stopped_rate: float = 0
    prompt_tokens: float = 0
    output_tokens: float = 0
    seconds: float = Field(0, description="Of the median answer, as it was asked for: several at once.")
    per_thousand: float | None = Field(None, description="Price of 1,000 answers; None where it is not known.")
    in_place: tuple[Replacement, ...] = Field(
        (), description="The arm that the verdict names and, where it is another one, the best tuned arm."
    )
    in_words: str = Field(description="Refusals, answers cut off, tries made again; or why there are no numbers.")

    @property
    def lines(self) -> tuple[str, ...]:
        """What is said of it: what can take its place, then what went wrong."""
        return (*(one.in_words for one in self.in_place), self.in_words)
