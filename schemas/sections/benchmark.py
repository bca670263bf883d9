"""The `benchmark` section of a config: what the adapter must not have forgotten."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas.sections.section import NOT_IN_KEY, Section

Require = Literal["kept", "not_lost"]
ChatTemplate = Literal["auto", "on", "off"]


class Asking(Section):
    """How the items of a benchmark are asked: what enters the key of its measurement."""

    limit: int | None
    chat_template: ChatTemplate
    margin: float
    confidence: float
    neutral_margin: float


class BenchmarkConfig(Section):
    """What the adapter must not have forgotten."""

    tasks: tuple[str, ...] = Field(
        ("general_mini",),
        description="lm-eval tasks: a folder or file under configs/benchmarks, a path, or a built-in name.",
    )
    margin: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Accuracy that may be lost; an adapter that lost more, on a task or on all items pooled, at "
        "decision.confidence, is refused.",
    )
    require: Require = Field(
        "kept",
        description="What a champion needs. kept: all items pooled lost no more than the margin at "
        "decision.confidence, and no task lost more as measured; an adapter of which that is not shown is registered "
        "as challenger. not_lost: it is enough that no loss is shown.",
    )
    neutral: str | None = Field(
        "neutral/texts.jsonl",
        min_length=1,
        description="Texts on which the loss of base and tuned model is compared, a sharper sense than right and "
        "wrong: a file of JSON lines with a `text`, beside the config or under configs/benchmarks. A third of them, by "
        "content, is set aside for training.replay; the rest, at least 8, are measured. null measures none.",
        json_schema_extra=NOT_IN_KEY,
    )
    neutral_margin: float = Field(
        0.25,
        ge=0,
        le=10,
        description="Loss on neutral text that may be added, in nats a token: it is kept, lost or inconclusive as a "
        "task is.",
    )
    limit: int | None = Field(None, ge=1, description="Use the first N items of each task only (for trying out).")
    chat_template: ChatTemplate = Field(
        "auto",
        description="Ask the items as the user's turn of a chat, through the base's chat template. auto does so with "
        "tasks whose answers are generated, as the arms generate theirs; likelihoods of given answers are compared on "
        "plain text, as small chat models fall to guessing through it.",
    )

    def asking(self, confidence: float) -> Asking:
        """Return how the items are asked, for decisions at this confidence."""
        return Asking(
            limit=self.limit,
            chat_template=self.chat_template,
            margin=self.margin,
            confidence=confidence,
            neutral_margin=self.neutral_margin,
        )
