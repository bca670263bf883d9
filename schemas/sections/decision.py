"""The `decision` section of a config: when an arm is good enough, and what a gain has to be worth."""

from __future__ import annotations

from pydantic import Field, field_validator

from schemas.sections.section import Section
from schemas.sections.task import Answer

USUAL_VALID = 0.95  # share of answers that programs can read, where an answer has a form that they rely on


class DecisionConfig(Section):
    """When an arm is good enough, and what a gain has to be worth."""

    target: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Mean score at which an arm is good enough; without it, the simplest arm that is not worse than "
        "the best by `worth`.",
    )
    worth: float = Field(
        0.03, ge=0, le=1, description="Gain over the best untrained arm below which tuning is not worth its cost."
    )
    valid: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Share of answers that must meet the answer contract; an arm below it, at `confidence`, is not "
        "good enough. Without it 0.95 where the contract is json, choice, sql or a pattern, else nothing.",
    )
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Confidence of every interval.")
    max_seconds: float | None = Field(
        None,
        gt=0,
        description="Seconds that 95% of answers may take, one request at a time on the machine that measures; an arm "
        "beyond it is not good enough.",
    )
    max_cost: float | None = Field(
        None, gt=0, description="Price of 1,000 answers, by `costs`, beyond which an arm is not good enough."
    )
    slices: tuple[str, ...] = Field(
        (),
        max_length=10,
        description="Columns of the rows, such as a language or a channel: every arm is also scored on the rows of "
        "each value (at most 20 a column), and an adapter that loses on one of them, at `confidence`, is registered as "
        "challenger and never becomes champion.",
    )

    @field_validator("slices")
    @classmethod
    def columns_are_distinct(cls, slices: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse columns without a name, or the same one twice."""
        if not all(slices) or len(set(slices)) < len(slices):
            raise ValueError("has an empty name, or the same column twice")
        return slices

    def for_answers(self, answer: Answer) -> DecisionConfig:
        """Return these settings with `valid` filled in for a task with this answer contract."""
        has_contract = answer.format != "text" or answer.pattern is not None
        return self if self.valid is not None or not has_contract else self.model_copy(update={"valid": USUAL_VALID})
