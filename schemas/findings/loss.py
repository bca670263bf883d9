"""How much tuning lost of what the base knew: words for it, and the loss on neutral text."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

LossStanding = Literal["kept", "inconclusive", "lost"]


class NeutralLoss(BaseModel):
    """Loss on neutral texts, in nats a token, each text counting the same: of base and tuned model, and the paired
    difference (tuned - base: above 0 is worse) with its interval.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    texts: int
    base: float
    tuned: float
    difference: float
    low: float
    high: float
    margin: float
    replay: float = Field(0.0, description="training.replay of the adapter.")
    standing: LossStanding = Field(
        description="kept: the interval's high end is at or below the margin. lost: its low end is above the margin. "
        "Else inconclusive."
    )

    @property
    def in_words(self) -> str:
        """The change with its interval and margin, and the remedy that was tried."""
        interval = f"{self.low:+.3f} to {self.high:+.3f}"
        remedy = f" with replay {self.replay:g}" if self.replay else ""
        return f"{self.difference:+.3f} nats a token{remedy} ({interval}; margin {self.margin:g})"


class BenchmarkTask(BaseModel):
    """One benchmark task, or all items pooled: accuracies, and the paired difference (tuned - base), its interval."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    task: str
    items: int
    clusters: int = Field(description="Groups of items that the interval rests on: topics, or the items themselves.")
    base: float
    tuned: float
    difference: float
    low: float
    high: float
    may_hide_twice: bool = Field(
        False,
        description="A true loss of twice the margin would look like this, or better, in more than 5 of 100 cases.",
    )
    standing: LossStanding = Field(
        description="kept: the interval's low end is at or above -margin. lost: the difference is below -margin at "
        "the benchmark's level, after Holm's correction. Else inconclusive."
    )
