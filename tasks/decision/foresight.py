"""Before anything is spent: which gain the held-out rows can show, and how many groups `decision.worth` takes.

The spread of a gain is that of an earlier run of the same name where there was one, else the worst that scores in 0..1
can have. 8 of 10 cases, as everywhere (tasks/statistics/power.py).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from schemas.reports import ArmReport, Verdict
from tasks.decision.verdict.wording import count
from tasks.reuse.current_store import current_store
from tasks.statistics.clusters import FEWEST_GROUPS
from tasks.statistics.power import Spread, groups_needed, smallest_difference, spread_of_interval, worst_spread

if TYPE_CHECKING:
    from schemas.artifacts import DataArtifact
    from schemas.sections.decision import DecisionConfig

WORST_CASE = "worst case, as nothing was measured yet"


@dataclass(frozen=True)
class Foresight:
    """What so many held-out rows can show.

    smallest_gain: score that can be told from none; None where there are too few groups for any claim.
    groups_for_worth: that show a gain of twice `worth` to be worth it; None where `worth` is 0.
    """

    rows: int
    groups: int
    worth: float
    smallest_gain: float | None
    groups_for_worth: int | None
    stands_on: str

    @property
    def in_words(self) -> str:
        """One line for people."""
        sample = f"{count(self.rows, 'held-out row')} in {count(self.groups, 'group')}"
        if self.smallest_gain is None:
            return f"{sample}: nothing can be told at a confidence with fewer than {FEWEST_GROUPS} groups"
        seen = (
            "no gain can be told from none"
            if self.smallest_gain > 1
            else f"a gain of {self.smallest_gain:.2f} or more can be told from none (in 8 of 10 cases)"
        )
        if self.groups_for_worth is None:
            return f"{sample}: {seen}; {self.stands_on}"
        return (
            f"{sample}: {seen}; to show that a gain of {2 * self.worth:g} is worth {self.worth:g} takes about "
            f"{count(self.groups_for_worth, 'group')}; {self.stands_on}"
        )

    @property
    def warning(self) -> str | None:
        """What to do where the rows cannot show that a gain is worth it; None where they can."""
        needed = max(self.groups_for_worth or 0, FEWEST_GROUPS)
        if needed <= self.groups:
            return None
        remedy = (
            f"hold out rows of about {count(needed - self.groups, 'more group')} (more rows, or a larger data.held_out)"
        )
        if self.smallest_gain is None or self.smallest_gain > 1:
            return f"these rows cannot show that tuning is worth anything: {remedy}"
        return (
            f"only a gain of {self.worth + self.smallest_gain:.2f} or more would show that tuning is worth "
            f"{self.worth:g}: {remedy}, or raise decision.worth to {math.ceil(100 * self.smallest_gain) / 100:g}"
        )

    def as_json(self) -> dict[str, Any]:
        """Return the figures and both sentences as JSON."""
        return {**asdict(self), "in_words": self.in_words, "warning": self.warning}


def foresee(data: DataArtifact, decision: DecisionConfig, run: str, tuned_arms: int) -> Foresight:
    """Return what the held-out rows of sealed data can show.

    Args:
        data: sealed rows.
        decision: `worth` and `confidence`.
        run: the config's name, whose earlier verdict tells the spread.
        tuned_arms: that are measured; any of them may gain, so they are corrected for.
    """
    import polars as pl

    groups = pl.read_parquet(current_store().open(data.digest) / "held_out.parquet", columns=["group"])["group"]
    sizes = groups.len() / groups.n_unique()
    spread, stands_on = _spread(run, decision.confidence) or (worst_spread(sizes), WORST_CASE)
    return what_shows(groups.len(), groups.n_unique(), decision, spread, stands_on, max(tuned_arms, 1))


def what_shows(
    rows: int, groups: int, decision: DecisionConfig, spread: Spread, stands_on: str, claims: int = 1
) -> Foresight:
    """Return what so many rows and groups can show of a gain with this spread."""
    smallest = smallest_difference(groups, spread, decision.confidence, claims)
    needed = groups_needed(decision.worth, spread, decision.confidence, claims)
    return Foresight(rows, groups, decision.worth, None if math.isinf(smallest) else smallest, needed, stands_on)


def _spread(run: str, confidence: float) -> tuple[Spread, str] | None:
    """Return the spread of a gain in the newest verdict of this run, and how that is said."""
    records = sorted(current_store().records("decide"), key=lambda record: float(record["sealed_at"]), reverse=True)
    for record in records:
        verdict = _verdict_of(record["artifact"]["digest"]) if record["run"] == run else None
        arm = next((arm for arm in reversed(verdict.arms) if _paired(arm)), None) if verdict else None
        if verdict is not None and arm is not None:
            low, high = _paired(arm) or (0.0, 0.0)
            said = f"the spread is that of {arm.arm} in an earlier run"
            return spread_of_interval((high - low) / 2, arm.groups, verdict.confidence), said
    return None


def _paired(arm: ArmReport) -> tuple[float, float] | None:
    """Return the interval of a difference between this arm and another on the same rows, if there is a wide one."""
    for low, high in ((arm.gain_low, arm.gain_high), (arm.lag_low, arm.lag_high)):
        if low is not None and high is not None and high > low and arm.groups >= FEWEST_GROUPS:
            return low, high
    return None


def _verdict_of(digest: str) -> Verdict | None:
    """Return a sealed verdict, or None where it is of another release or not whole."""
    store = current_store()
    path = Path(store.root) / "artifacts" / digest / "verdict.json"
    try:
        return Verdict.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return None
