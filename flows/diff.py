"""What moved from one verdict to a later one, and why: what `tuneworthy diff` prints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.inputs.named_verdicts import find_verdict
from schemas.findings.diff import VerdictDiff
from schemas.reports import Verdict
from tasks.reuse.keys import changed_ingredients
from tasks.reuse.stage import changes_in_words
from tasks.reuse.store import ArtifactStore

if TYPE_CHECKING:
    from tasks.decision.verdict.moves import Measured

MOST_CHANGES = 5  # shown of one stage
SETTINGS = ("target", "worth", "valid", "confidence", "rows", "groups")


def compared(before: str, after: str, store: ArtifactStore) -> VerdictDiff:
    """Return the difference of two verdicts by their names (flows.inputs.named_verdicts)."""
    from tasks.decision.verdict.moves import moves_between

    one, other = find_verdict(before, store), find_verdict(after, store)
    named, arms = moves_between(_measured(one, store), _measured(other, store))
    return VerdictDiff(
        before=before,
        after=after,
        confidence=other.confidence,
        verdicts=(one.verdict, other.verdict),
        gates=(_gate(one), _gate(other)),
        settings=_settings(one, other),
        named=named,
        arms=arms,
        why=_why(one, other, store),
    )


def _measured(verdict: Verdict, store: ArtifactStore) -> Measured:
    """Return a verdict with the files behind it that the store has."""
    from tasks.decision.verdict.moves import Measured

    def opened(digest: str, name: str) -> Path | None:
        return store.open(digest) / name if digest and store.is_whole(digest) else None

    answers = {arm.arm: opened(arm.answers, "answers.parquet") for arm in verdict.arms}
    at_hand = {arm: path for arm, path in answers.items() if path is not None}
    return Measured(verdict, at_hand, opened(verdict.data, "held_out.parquet"))


def _gate(verdict: Verdict) -> str:
    return verdict.gate.state if verdict.gate else "none"


def _settings(one: Verdict, other: Verdict) -> tuple[tuple[str, str, str], ...]:
    values = {name: (getattr(one, name), getattr(other, name)) for name in SETTINGS}
    values["margin"] = one.gate and one.gate.margin, other.gate and other.gate.margin
    return tuple((name, _said(was), _said(now)) for name, (was, now) in values.items() if was != now)


def _said(value: float | None) -> str:
    return "none" if value is None else f"{value:g}"


def _why(one: Verdict, other: Verdict, store: ArtifactStore) -> tuple[str, ...]:
    records = (record for stage in store.names("records") for record in store.records(stage))
    made = {str(record["artifact"]["digest"]): record for record in records}
    later = {arm.arm: arm.answers for arm in other.arms}
    found: dict[str, str] = {}
    for arm in one.arms:
        found |= changes(made, arm.answers, later.get(arm.arm, arm.answers))
    if found:
        return tuple(f"{stage}: {change}" for stage, change in found.items())
    is_same = all(arm.answers and arm.answers == later.get(arm.arm) for arm in one.arms)
    return ("both have the same answers" if is_same else "the store does not have the stages that made both",)


def changes(made: Mapping[str, Mapping[str, Any]], before: str, after: str) -> dict[str, str]:
    """Return stage -> what differs in its own settings, sources and libraries, for two artifacts of one kind and all
    that they were made from; empty where they are the same, or it is not known how they were made.

    Args:
        made: digest of an artifact -> the record of the stage that made it.
        before: digest of the earlier artifact.
        after: digest of the later one.
    """
    if before == after or before not in made or after not in made:
        return {}
    one, other = made[before], made[after]
    found, own = dict[str, str](), []
    for change in changed_ingredients(one["ingredients"], other["ingredients"]):
        if change[1] in made and change[2] in made:
            found |= changes(made, change[1], change[2])
        else:
            own.append(change)
    return found | ({other["label"]: changes_in_words(own, MOST_CHANGES)} if own else {})
