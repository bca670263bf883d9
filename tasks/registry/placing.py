"""Which version is champion: how a version becomes champion, and the audit rows that record it.

A version's own tags describe its newest verdict and placing. The registered model has one tag per move, audit.<time>,
which is never overwritten. The reasons for the rule: docs/decisions/0006-a-champion-is-judged-on-todays-rows.md.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.registry.mlflow_registry import CHALLENGER, CHAMPION, PREVIOUS, Candidate, retag, version_of
from tasks.reuse.keys import digest_of

if TYPE_CHECKING:
    from schemas.reports import ChampionReport
    from tasks.registry.connection import Registry
    from tasks.reuse.store import ArtifactStore

NOT_WORSE = ("better", "not_worse")
ROLLED_BACK = "rolled_back_at"  # tag of a version that a person took the champion's place from


@dataclass(frozen=True)
class Placed:
    """The version of an adapter, the alias that it got, and why."""

    version: str
    alias: str
    why: str


def place(
    registry: Registry,
    candidate: Candidate,
    version: str,
    comparison: ChampionReport | None,
    why_uncompared: str,
    why_short: str,
) -> Placed:
    """Give a version its alias: champion when it won its verdict and is not worse than the present champion on today's
    rows; else challenger.

    Args:
        registry: reachable MLflow.
        candidate: what was registered; its tags hold the scores.
        version: the version that it became.
        comparison: the champion on today's rows and the difference; None where it was not measured.
        why_uncompared: the reason why it was not measured.
        why_short: the reason why it may not become champion whatever the comparison says; "" where it won its verdict.
    """
    model, champion = candidate.model, version_of(registry, candidate.model, CHAMPION)
    tags = registry.client.get_model_version(model, champion).tags if champion else {}
    # This version, or one with the same adapter that carries other passages.
    is_own = tags.get("adapter_digest") == candidate.adapter_digest
    # As in flows/champion.py: the version that it had to be compared with.
    rival = tags.get("took_over_from", "") if is_own else champion or ""
    alias, why = _alias(rival, comparison, why_uncompared, why_short)
    if champion == version:
        alias, why = CHAMPION, "it is the champion already"
    rolled_back = registry.client.get_model_version(model, version).tags.get(ROLLED_BACK)
    if rolled_back and champion and champion != version:
        way = f"tuneworthy rollback CONFIG --to {version} does"
        alias, why = CHALLENGER, f"it was rolled back at {rolled_back}; no run makes it champion again: {way}"
    row = {"placed_at": now(), "placed_as": alias, "placed_because": why, "run_id": candidate.run_id}
    row |= _numbers(comparison)
    over = comparison.version if comparison and is_own else rival
    retag(registry, model, version, row | {"took_over_from": over})
    # The audit row comes first: a run that dies in between moves the alias the next time, and no move lacks its row.
    if champion != version:
        move = {"move": alias, "version": version, "before": champion or ""}
        write_audit(registry, model, move | row | _scores(candidate))
    if alias == CHALLENGER:
        registry.client.set_registered_model_alias(model, CHALLENGER, version)
    elif champion != version:
        make_champion(registry, model, version, champion)
    return Placed(version, alias, why)


def _alias(rival: str, comparison: ChampionReport | None, why_uncompared: str, why_short: str) -> tuple[str, str]:
    if why_short:
        return CHALLENGER, why_short
    if not rival:
        return CHAMPION, "there was no champion"
    if comparison is None:
        why = why_uncompared or "no comparison was asked for"
        return CHALLENGER, f"the champion, version {rival}, was not measured on today's rows: {why}"
    if comparison.version != rival:
        compared = f"this one was compared with version {comparison.version}"
        return CHALLENGER, f"the champion is now version {rival}, and {compared}; run again"
    return CHAMPION if comparison.outcome in NOT_WORSE else CHALLENGER, comparison.reasons[-1].rstrip(".")


@contextlib.contextmanager
def moving_aliases(
    store: ArtifactStore, destination: str, model: str, waiting: Callable[[str], None]
) -> Iterator[None]:
    """Be the only process on this store that moves a model's aliases: MLflow has no lock between reading and moving."""
    with store.holding(f"aliases-{digest_of([destination, model])[:40]}", waiting):
        yield


def make_champion(registry: Registry, model: str, version: str, champion: str | None) -> None:
    """Move the alias champion to a version and keep its former version as previous; there is always a champion."""
    if champion is not None:
        registry.client.set_registered_model_alias(model, PREVIOUS, champion)
        retag(registry, model, champion, {"replaced_at": now(), "replaced_by": version})
    registry.client.set_registered_model_alias(model, CHAMPION, version)
    if version_of(registry, model, CHALLENGER) == version:
        registry.client.delete_registered_model_alias(model, CHALLENGER)


def write_audit(registry: Registry, model: str, row: dict[str, str]) -> None:
    """Write one audit row as a tag of the registered model; two at the same moment do not share a name.

    The clock is read once: a second and a fraction from two readings would sort a row before one written earlier.
    """
    seconds, nanoseconds = divmod(time.time_ns(), 10**9)
    name = f"audit.{time.strftime('%Y-%m-%dT%H-%M-%S', time.gmtime(seconds))}.{nanoseconds:09d}"
    registry.client.set_registered_model_tag(model, name, json.dumps(row, ensure_ascii=False))


def now() -> str:
    """Return the time in UTC, in the format of audit rows."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _scores(candidate: Candidate) -> dict[str, str]:
    told = ("verdict", "arm", "score", "score_low", "score_high", "rows", "data_digest")
    return {name: candidate.tags[name] for name in told if name in candidate.tags}


def _numbers(comparison: ChampionReport | None) -> dict[str, str]:
    """Return the comparison as tags; without one they are empty, which clears the numbers of an earlier placing."""
    of_champion = ("version", "score", "low", "high", "rows", "left_out", "outcome")
    of_both = ("difference", "difference_low", "difference_high", "challenger_score")
    names = {f"champion_{name}": name for name in of_champion} | {name: name for name in of_both}
    return {tag: _as_tag(getattr(comparison, name) if comparison else None) for tag, name in names.items()}


def _as_tag(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6f}" if isinstance(value, float) else str(value)
