"""What cannot be told yet: the comparison that is missing, and how many groups would tell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from schemas.reports import ArmReport, Doubt
from tasks.decision.verdict.wording import doubt_sentence, what_is_open
from tasks.statistics.clusters import FEWEST_GROUPS
from tasks.statistics.power import groups_to_tell_apart

if TYPE_CHECKING:
    from schemas.sections.decision import DecisionConfig


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
    """Return the doubt about one question of an arm: "target", "gain" or "rivals"."""
    mean, low, high, bound = _numbers(arm, question, decision)
    needed = groups_to_tell_apart(mean, low, high, arm.groups, bound, decision.confidence)
    needed = None if needed is None else max(needed, FEWEST_GROUPS)
    rows = None if needed is None else math.ceil(needed * arm.rows / arm.groups)
    asks = what_is_open(arm, question, decision)
    doubt = Doubt(
        arm=arm.arm,
        about="gain" if question == "gain" else "target" if question == "target" else "rivals",
        question=asks,
        groups_needed=needed,
        rows_needed=rows,
        in_words=doubt_sentence(asks, needed, rows),
    )
    return Opinion(doubt, mean >= bound, arm.gain is not None)


def _numbers(arm: ArmReport, question: str, decision: DecisionConfig) -> tuple[float, float, float, float]:
    """Return the mean, its interval's ends, and the bound that it cannot be told from."""
    if question == "gain":
        return arm.gain or 0.0, arm.gain_low or 0.0, arm.gain_high or 0.0, decision.worth
    if question == "rivals" and arm.rival is not None:
        return arm.lag or 0.0, arm.lag_low or 0.0, arm.lag_high or 0.0, -decision.worth
    return arm.score, arm.low, arm.high, decision.target or 0.0


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
