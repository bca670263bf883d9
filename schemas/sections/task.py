"""What the model is asked, what an answer has to look like, and how it is scored."""

from __future__ import annotations

import ast
import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from schemas.sections.section import NOT_IN_KEY, Section

NEEDS = {"json_fields": "json", "sql_execution": "sql", "choice": "choice", "tool_call": "tool_call"}
METRICS = (*NEEDS, "exact", "token_f1", "em", "rouge_l", "chrf", "bleu", "numeric", "contains", "regex")
OWN = re.compile(r"[^:]+\.py:[A-Za-z_]\w*")
READ_BY = {
    "tolerance": ("numeric", "json_fields"),
    "lists": ("json_fields",),
    "columns": ("sql_execution",),
    "pattern": ("regex",),
}
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
        return _compiled(pattern)


class ChoiceAnswer(Section):
    """The answer is one label out of a fixed set."""

    format: Literal["choice"]
    labels: tuple[str, ...] = Field(min_length=2, description="All labels; an answer is one of them.")

    @field_validator("labels", mode="before")
    @classmethod
    def labels_are_texts(cls, labels: object) -> object:
        """Take numbers as text; refuse true and false, which YAML makes of yes, no, on and off."""
        if not isinstance(labels, list | tuple):
            return labels
        if any(isinstance(label, bool) for label in labels):
            raise ValueError("has true or false, which YAML makes of yes and no too; quote it, such as 'yes'")
        return tuple(str(label) if isinstance(label, int | float) else label for label in labels)

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


class ToolCallAnswer(Section):
    """The answer calls tools, or is text where no call is wanted."""

    format: Literal["tool_call"]
    tools: str | None = Field(
        None,
        description="JSON list of tools with their parameters, relative to the config file: offered in every row that "
        "has none of its own, and what calls are checked against.",
        json_schema_extra=NOT_IN_KEY,
    )


Answer = Annotated[TextAnswer | ChoiceAnswer | JsonAnswer | SqlAnswer | ToolCallAnswer, Field(discriminator="format")]


class ScoringConfig(Section):
    """How metrics compare; a setting that no metric of the task reads is refused."""

    tolerance: float = Field(
        0.0, ge=0, le=1, description="numeric, json_fields: share of the reference by which a number may differ."
    )
    lists: Literal["sequence", "set"] = Field(
        "sequence", description="json_fields: set: neither the order of a list nor repeated items count."
    )
    columns: Literal["in_order", "any_order"] = Field(
        "in_order", description="sql_execution: any_order: an answer may name its columns in another order."
    )
    pattern: str | None = Field(
        None, description="regex: what it finds first (its first group) in answer and reference is compared."
    )
    seconds: float = Field(5.0, gt=0, le=600, description="How long a scorer of your own may take for one answer.")

    @field_validator("pattern")
    @classmethod
    def pattern_compiles(cls, pattern: str | None) -> str | None:
        """Refuse a pattern that is not a regular expression."""
        return _compiled(pattern)


class TaskConfig(Section):
    """What the model is asked, what an answer has to look like, and how it is scored."""

    instruction: str = Field(min_length=1, max_length=20_000, description="The system message that every arm gets.")
    answer: Answer = Field(
        default_factory=TextAnswer, description="The contract: training and model answers alike must meet it."
    )
    metric: str = Field(
        "exact",
        description="How one answer is scored, from 0 to 1: " + ", ".join(METRICS) + "; or FILE.py:FUNCTION, a pure "
        "function of answer and reference, relative to the config file.",
    )
    also: tuple[str, ...] = Field((), description="Further metrics by name: shown beside the one that decides.")
    scoring: ScoringConfig = Field(default_factory=ScoringConfig, description="How metrics compare.")
    scorer: str | None = Field(None, description="Filled in: the source of the file that `metric` names.")
    reading: Reading = Field(
        "strict",
        description="The reading of answers that decides: strict, as a program would, with nothing but white space "
        "around the answer; or lenient, the first object, label, query or match of the pattern in it, the last number. "
        "Both are shown.",
    )

    @model_validator(mode="after")
    def metrics_are_known(self) -> TaskConfig:
        """Refuse a metric that does not exist, or cannot read this kind of answer."""
        for name in (self.metric, *self.also):
            if name not in METRICS and (name in self.also or not OWN.fullmatch(name)):
                own = "" if name in self.also else ", or FILE.py:FUNCTION"
                raise ValueError(f'there is no metric "{name}"; there are {", ".join(METRICS)}{own}')
            needs = NEEDS.get(name, self.answer.format)
            if self.answer.format != needs:
                raise ValueError(f'metric "{name}" needs answer.format "{needs}", not "{self.answer.format}"')
        if len({self.metric, *self.also}) <= len(self.also):
            raise ValueError("also: names a metric twice, or the one that decides")
        return self

    @model_validator(mode="after")
    def scoring_is_read(self) -> TaskConfig:
        """Refuse a setting of scoring that no metric reads, and metrics without what they need."""
        metrics = {self.metric, *self.also}
        for name, readers in READ_BY.items():
            is_set = getattr(self.scoring, name) != ScoringConfig.model_fields[name].default
            if is_set and not metrics & set(readers):
                raise ValueError(f"scoring.{name} is read by {' and '.join(readers)} only; name it, or leave this out")
        if "regex" in metrics and self.scoring.pattern is None:
            raise ValueError('metric "regex" needs scoring.pattern')
        return self

    @model_validator(mode="after")
    def scorer_is_there(self) -> TaskConfig:
        """Refuse a scorer of the user's own whose file has no such function."""
        if not OWN.fullmatch(self.metric):
            return self
        try:
            parts = ast.parse(self.scorer or "").body
        except (SyntaxError, ValueError) as fault:
            raise ValueError(f'metric "{self.metric}": the file is not Python: {fault}') from fault
        name = self.metric.rpartition(":")[2]
        if not any(isinstance(part, ast.FunctionDef) and part.name == name for part in parts):
            raise ValueError(f'metric "{self.metric}": the file does not define a function {name}')
        return self


def _compiled(pattern: str | None) -> str | None:
    try:
        re.compile(pattern or "")
    except re.error as fault:
        raise ValueError(f"is not a regular expression: {fault}") from fault
    return pattern
