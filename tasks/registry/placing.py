"""Which version is champion: how one gets there, how one is set back, and the audit rows that say so.

A version's own tags tell of its newest verdict and placing. The registered model carries one tag a move, audit.<time>,
which nothing overwrites. Why the rule is what it is: docs/decisions/0006-a-champion-is-judged-on-todays-rows.md.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.registry.mlflow_registry import CHALLENGER, CHAMPION, PREVIOUS, Candidate, version_of
from tasks.reuse.keys import digest_of

if TYPE_CHECKING:
    from schemas.reports import ChampionReport
    from tasks.registry.connection import Registry
    from tasks.reuse.store import ArtifactStore

NOT_WORSE = ("better", "not_worse")
ROLLED_BACK = "rolled_back_at"  # tag of a version that a person took the champion's place from


@dataclass(frozen=True)
class Placed:
    """The version of an adapter, the alias that it has, and in words why."""

    version: str
    alias: str
    why: str


def place(
    registry: Registry,
    candidate: Candidate,
    version: str,
    beside: ChampionReport | None,
    why_uncompared: str,
    *,
    is_verdict: bool,
) -> Placed:
    """Give a version its alias: champion when it won its verdict and is not worse than who stands there, on today's
    rows; else challenger.

    Args:
        registry: reachable MLflow.
        candidate: what was registered; its tags hold the scores.
        version: the version that it became.
        beside: the champion on today's rows and the difference; None where it was not measured.
        why_uncompared: in words why not.
        is_verdict: a tuned arm surely meets the target.
    """
    model, champion = candidate.model, version_of(registry, candidate.model, CHAMPION)
    tags = registry.client.get_model_version(model, champion).tags if champion else {}
    is_own = (
        tags.get("adapter_digest") == candidate.adapter_digest
    )  # this version, or one with the same adapter that carries other passages
    rival = (
        tags.get("took_over_from", "") if is_own else champion or ""
    )  # as in flows/champion.py: whom it was to be compared with
    alias, why = (
        (CHAMPION, "it is the champion already")
        if champion == version
        else _alias(rival, beside, why_uncompared, is_verdict)
    )
    rolled_back = registry.client.get_model_version(model, version).tags.get(ROLLED_BACK)
    if rolled_back and champion and champion != version:
        alias, why = (
            CHALLENGER,
            f"it was rolled back at {rolled_back}; no run makes it champion again: tuneworthy rollback CONFIG --to "
            f"{version} does",
        )
    row = {"placed_at": now(), "placed_as": alias, "placed_because": why, "run_id": candidate.run_id} | _numbers(beside)
    over = beside.version if beside and is_own else rival
    for name, value in (row | {"took_over_from": over}).items():
        registry.client.set_model_version_tag(model, version, name, value)
    # First what tells of the move: a run that dies in between makes it the next time, and no move is without its row.
    if champion != version:
        write_audit(
            registry, model, {"move": alias, "version": version, "before": champion or ""} | row | _scores(candidate)
        )
    if alias == CHALLENGER:
        registry.client.set_registered_model_alias(model, CHALLENGER, version)
    elif champion != version:
        crown(registry, model, version, champion)
    return Placed(version, alias, why)


def _alias(rival: str, beside: ChampionReport | None, why_uncompared: str, is_verdict: bool) -> tuple[str, str]:
    if not is_verdict:
        return CHALLENGER, "its gain is worth it, but it does not surely meet the target"
    if not rival:
        return CHAMPION, "there was no champion"
    if beside is None:
        return (
            CHALLENGER,
            f"the champion, version {rival}, was not measured on today's rows: {why_uncompared or 'nobody looked'}",
        )
    if beside.version != rival:
        return (
            CHALLENGER,
            f"the champion is version {rival} by now, and this one was compared with version {beside.version}; run "
            "again",
        )
    return CHAMPION if beside.outcome in NOT_WORSE else CHALLENGER, beside.reasons[-1].rstrip(".")


@contextlib.contextmanager
def moving(store: ArtifactStore, destination: str, model: str, waiting: Callable[[str], None]) -> Iterator[None]:
    """Be the only one of this store who moves a model's aliases: between looking who is champion and moving, MLflow
    itself holds nobody back.
    """
    with store.holding(f"aliases-{digest_of([destination, model])[:40]}", waiting):
        yield


def crown(registry: Registry, model: str, version: str, champion: str | None) -> None:
    """Move the alias champion to a version and keep who had it as previous; no moment is without a champion."""
    if champion is not None:
        registry.client.set_registered_model_alias(model, PREVIOUS, champion)
        for name, value in (("replaced_at", now()), ("replaced_by", version)):
            registry.client.set_model_version_tag(model, champion, name, value)
    registry.client.set_registered_model_alias(model, CHAMPION, version)
    if version_of(registry, model, CHALLENGER) == version:
        registry.client.delete_registered_model_alias(model, CHALLENGER)


def write_audit(registry: Registry, model: str, row: dict[str, str]) -> None:
    """Write one audit row as a tag of the registered model; two in one moment do not share a name."""
    name = f"audit.{time.strftime('%Y-%m-%dT%H-%M-%S', time.gmtime())}.{time.time_ns() % 10**9:09d}"
    registry.client.set_registered_model_tag(model, name, json.dumps(row, ensure_ascii=False))


def now() -> str:
    """Return the time in UTC, as audit rows spell it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _scores(candidate: Candidate) -> dict[str, str]:
    return {
        name: candidate.tags[name]
        for name in ("verdict", "arm", "score", "score_low", "score_high", "rows", "data_digest")
        if name in candidate.tags
    }


def _numbers(beside: ChampionReport | None) -> dict[str, str]:
    """Return the comparison as tags; a version that was placed before loses the numbers of then."""
    names = ("version", "score", "low", "high", "rows", "left_out", "outcome")
    told = {f"champion_{name}": getattr(beside, name) if beside else "" for name in names}
    told |= {
        name: getattr(beside, name) if beside else ""
        for name in ("difference", "difference_low", "difference_high", "challenger_score")
    }
    return {
        name: f"{value:.6f}" if isinstance(value, float) else "" if value is None else str(value)
        for name, value in told.items()
    }
