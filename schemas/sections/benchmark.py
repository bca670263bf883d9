"""The `benchmark` section of a config: what the adapter must not have forgotten."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas.sections.section import Section

Require = Literal["kept", "not_lost"]
ChatTemplate = Literal["auto", "on", "off"]


class Asking(Section):
    """How the items of a benchmark are asked: what enters the key of its measurement."""

    limit: int | None
    chat_template: ChatTemplate
    margin: float
    confidence: float


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
    limit: int | None = Field(None, ge=1, description="Use the first N items of each task only (for trying out).")
    chat_template: ChatTemplate = Field(
        "auto",
        description="Ask the items as the user's turn of a chat, through the base's chat template. auto does so with "
        "tasks whose answers are generated, as the arms generate theirs; likelihoods of given answers are compared on "
        "plain text, as small chat models fall to guessing through it.",
    )

    def asking(self, confidence: float) -> Asking:
        """Return how the items are asked, for decisions at this confidence."""
        return Asking(limit=self.limit, chat_template=self.chat_template, margin=self.margin, confidence=confidence)
