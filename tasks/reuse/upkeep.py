"""Upkeep of the store: is every artifact whole, and which ones are no longer needed?"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tasks.reuse.store import ArtifactStore

DIGEST = re.compile(r"[0-9a-f]{64}")
SECONDS_A_DAY = 86_400
LASTING = ("register_adapter",)  # what a registered version needs is kept for as long as its record is


@dataclass(frozen=True)
class Verified:
    """What `verify` found: every artifact read and compared byte for byte."""

    whole: tuple[str, ...]
    broken: tuple[str, ...]
    bytes: int


@dataclass(frozen=True)
class Collected:
    """What `collect` removed, or would remove."""

    kept: int
    artifacts: tuple[str, ...]
    records: int
    workdirs: int
    bytes: int


def verify(store: ArtifactStore) -> Verified:
    """Open every artifact and check every byte; a broken one is set aside, so that the next run makes it anew."""
    from schemas.errors import ArtifactBroken

    whole, broken, size = [], [], 0
    for digest in store.names("artifacts"):
        try:
            store.open(digest)
            whole.append(digest)
            size += store.sizes(digest)
        except ArtifactBroken:
            broken.append(digest)
    return Verified(tuple(whole), tuple(broken), size)


def collect(store: ArtifactStore, keep_days: float, keep_verdicts: int, is_dry: bool) -> Collected:
    """Remove artifacts that no root needs. Roots: records younger than `keep_days`, the last `keep_verdicts` verdicts,
    registered versions.

    The inputs of a root (as in its record, and theirs in turn) are kept with it. A work directory is kept while its key
    is locked or it is younger than `keep_days`.
    """
    records = list(_records(store))
    needed = _reachable(_roots(records, keep_days, keep_verdicts), records)
    unneeded = tuple(digest for digest in store.names("artifacts") if digest not in needed)
    stale = [(stage, name) for stage, name, record in records if record["artifact"]["digest"] not in needed]
    workdirs = [name for name in store.names("work") if _is_left(store, name, keep_days)]
    size = sum(store.sizes(digest) for digest in unneeded)
    if not is_dry:
        _remove(store, stale, unneeded, workdirs)
    return Collected(len(needed), unneeded, len(stale), len(workdirs), size)


def _remove(store: ArtifactStore, stale: list[tuple[str, str]], unneeded: tuple[str, ...], workdirs: list[str]) -> None:
    for stage, name in stale:  # a record goes before its artifact
        store.remove("records", stage, name)
    for digest in unneeded:
        store.remove("artifacts", digest)
    for name in workdirs:
        store.remove("work", name)


def _records(store: ArtifactStore) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for stage in store.names("records"):
        for name in store.names("records", stage):
            record = store.record(stage, name.removesuffix(".json"))
            if record is not None:
                yield stage, name, record


def _roots(records: list[tuple[str, str, dict[str, Any]]], keep_days: float, keep_verdicts: int) -> set[str]:
    since = time.time() - keep_days * SECONDS_A_DAY
    decided = (record for stage, _, record in records if stage == "decide")
    verdicts = sorted(decided, key=lambda record: record["sealed_at"], reverse=True)
    young = [record for stage, _, record in records if record["sealed_at"] >= since or stage in LASTING]
    return {record["artifact"]["digest"] for record in [*young, *verdicts[:keep_verdicts]]}


def _reachable(roots: set[str], records: list[tuple[str, str, dict[str, Any]]]) -> set[str]:
    inputs_of: dict[str, set[str]] = {}
    for _, _, record in records:
        inputs = {
            value for value in record["ingredients"].values() if isinstance(value, str) and DIGEST.fullmatch(value)
        }
        inputs_of.setdefault(record["artifact"]["digest"], set()).update(inputs)
    found: set[str] = set()
    waiting = set(roots)
    while waiting:
        digest = waiting.pop()
        found.add(digest)
        waiting |= inputs_of.get(digest, set()) - found
    return found


def _is_left(store: ArtifactStore, name: str, keep_days: float) -> bool:
    if store.is_held(name):
        return False
    folder = store.root / "work" / name
    newest = (
        max((path.stat().st_mtime for path in (folder, *folder.rglob("*"))), default=0.0) if folder.is_dir() else 0.0
    )
    return time.time() - newest > keep_days * SECONDS_A_DAY
