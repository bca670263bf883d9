"""What cannot be told yet: the comparison that is missing, and how many groups would tell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from schemas.reports import ArmReport, Doubt
from tasks.decision.wording import doubt_sentence
from tasks.statistics.clusters import FEWEST_GROUPS
from tasks.statistics.power import groups_to_tell_apart

if TYPE_CHECKING:
    from schemas.config import DecisionConfig


@dataclass(frozen=True)
class Opinion:
    """A doubt, and to which side it would fall if the numbers stay as they are."""

    doubt: Doubt
    is_for: bool
    is_trained: bool

    @property
    def size(self) -> float:
        """Groups that it takes; infinite where the numbers lie on the line."""
        return self.doubt.groups_needed or math.inf


def opinion_on(arm: ArmReport, question: str, decision: DecisionConfig) -> Opinion:
    """Return the doubt about one question of an arm: "target", "gain" or "groups"."""
    if question == "gain" and arm.gain is not None and arm.gain_low is not None and arm.gain_high is not None:
        mean, low, high, bound = arm.gain, arm.gain_low, arm.gain_high, decision.worth
    else:
        mean, low, high, bound = arm.score, arm.low, arm.high, decision.target or 0.0
    needed: int | None = FEWEST_GROUPS
    if question != "groups":
        needed = groups_to_tell_apart(mean, low, high, arm.groups, bound, decision.confidence)
        needed = None if needed is None else max(needed, FEWEST_GROUPS)
    rows = None if needed is None else math.ceil(needed * arm.rows / arm.groups)
    doubt = Doubt(
        arm=arm.arm,
        about="gain" if question == "gain" else "target" if question == "target" else "groups",
        groups_needed=needed,
        rows_needed=rows,
        in_words=doubt_sentence(arm, question, needed, rows, decision),
    )
    return Opinion(doubt, question == "groups" or mean >= bound, arm.gain is not None)


def doubts_in_order(arms: Sequence[Sequence[Opinion]]) -> list[Doubt]:
    """Return the doubts of all open arms, the one that would settle the verdict with the fewest groups first.

    Two ways lead to a verdict: an arm whose doubts all fall in its favour is shown to be fit, or every tuned arm (every
    arm, where no tuned one is open) is shown to fail one of its questions.
    """
    if not arms:
        return []
    ways = [max(own, key=_size) for own in arms if all(one.is_for for one in own)]
    closing = [own for own in arms if own[0].is_trained] or list(arms)
    against = [[one for one in own if not one.is_for] for own in closing]
    if all(against):
        ways.append(max((min(own, key=_size) for own in against), key=_size))
    first = min(ways, key=_size).doubt
    return [first, *(one.doubt for own in arms for one in own if one.doubt is not first)]


def _size(opinion: Opinion) -> float:
    return opinion.size
