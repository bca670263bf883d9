"""Two verdicts compared, as data: what `tuneworthy diff` prints as text, JSON or Markdown."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas.findings.report import Report


class ArmMove(Report):
    """An arm of the earlier verdict against one of the later."""

    before_arm: str
    after_arm: str
    before: float
    after: float
    difference: float = Field(description="Later minus earlier score.")
    low: float
    high: float
    groups: int = Field(description="Groups that the interval rests on; the fewer ones where it is not paired.")
    is_paired: bool = Field(
        description="Row by row, on the same held-out rows; else from the intervals of the two scores (MOVER)."
    )
    standing: Literal["better", "worse", "unclear"] = Field(description="The difference against 0, at confidence.")


class VerdictDiff(Report):
    """What moved between two verdicts, and why."""

    before: str = Field(description="The earlier verdict, as it was asked for.")
    after: str
    confidence: float = Field(description="The later verdict's.")
    verdicts: tuple[str, str]
    gates: tuple[str, str]
    settings: tuple[tuple[str, str, str], ...] = Field(description="Name, earlier and later value of what differs.")
    named: ArmMove = Field(description="The arm that each verdict names.")
    arms: tuple[ArmMove, ...] = Field(description="Arms that both have.")
    why: tuple[str, ...] = Field(description="What differs in the stages that made the answers, from the store.")

    @property
    def is_worse(self) -> bool:
        """The arm that the later verdict names is worse, at confidence."""
        return self.named.standing == "worse"
