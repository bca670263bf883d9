"""What the model is asked, what an answer has to look like, and how it is scored."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from schemas.sections.section import NOT_IN_KEY, Section

Metric = Literal["exact", "json_fields", "sql_execution", "token_f1"]
Reading = Literal["strict", "lenient"]


class TextAnswer(Section):
    """The answer is text, within a length and, when given, matching a pattern."""

    format: Literal["text"] = "text"
    max_characters: int = Field(4000, ge=1, le=100_000, description="A longer answer breaks the contract.")
    pattern: str | None = Field(None, description="Regular expression that the whole answer has to match.")

    @field_validator("pattern")
    @classmethod
    def pattern_compiles(cls, pattern: str | None) -> str | None:
        """Refuse a pattern that is not a regular expression."""
        try:
            re.compile(pattern or "")
        except re.error as fault:
            raise ValueError(f"is not a regular expression: {fault}") from fault
        return pattern


class ChoiceAnswer(Section):
    """The answer is one label out of a fixed set."""

    format: Literal["choice"]
    labels: tuple[str, ...] = Field(min_length=2, description="All labels; an answer is one of them.")

    @field_validator("labels")
    @classmethod
    def labels_are_distinct(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse labels that are empty or the same."""
        bare = [label.strip() for label in labels]
        if not all(bare) or len(set(bare)) < len(bare):
            raise ValueError("has an empty label, or the same label twice")
        return labels


class JsonAnswer(Section):
    """The answer is one JSON object that a JSON Schema accepts."""

    format: Literal["json"]
    json_schema: str = Field(description="JSON Schema file, relative to the config file.", json_schema_extra=NOT_IN_KEY)


class SqlAnswer(Section):
    """The answer is one read-only SQLite query that runs and gives rows."""

    format: Literal["sql"]
    database: str = Field(description="SQLite file, relative to the config file.", json_schema_extra=NOT_IN_KEY)


Answer = Annotated[TextAnswer | ChoiceAnswer | JsonAnswer | SqlAnswer, Field(discriminator="format")]


class TaskConfig(Section):
    """What the model is asked, what an answer has to look like, and how it is scored."""

    instruction: str = Field(min_length=1, max_length=20_000, description="The system message that every arm gets.")
    answer: Answer = Field(
        default_factory=TextAnswer, description="The contract: training and model answers alike must meet it."
    )
    metric: Metric = Field("exact", description="How one answer is scored, from 0 to 1.")
    reading: Reading = Field(
        "strict",
        description="The reading of answers that decides: strict, as a program would, with nothing but white space "
        "around the answer; or lenient, the first object, label, query or match of the pattern in it. Both are shown.",
    )

    @model_validator(mode="after")
    def metric_fits_format(self) -> TaskConfig:
        """Refuse a metric that cannot read this kind of answer."""
        needs = {"json_fields": "json", "sql_execution": "sql"}.get(self.metric)
        if needs and self.answer.format != needs:
            raise ValueError(f'metric "{self.metric}" needs answer.format "{needs}", not "{self.answer.format}"')
        return self
