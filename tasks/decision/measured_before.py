"""How often these held-out rows were asked before: the best of several equal arms looks better than it is.

The Ladder (Blum and Hardt 2015, arXiv 1502.04585) says why looks have to be counted. Here they are said beside the
verdict; nothing is refused for them.
"""

from __future__ import annotations

import functools
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from schemas.artifacts import ArmArtifact, DataArtifact
from tasks.reuse.current_store import current_store
from tasks.reuse.store import MANIFEST, ArtifactStore

STAGE = "score_arm"
ROWS = "held_out.parquet"
NOT_SETTINGS = ("source.", "library.", "base", "data", "adapter", "seed")


def looks_at(data: DataArtifact, arms: Sequence[ArmArtifact]) -> dict[str, int]:
    """Return for each arm how many different adapters (of a tuned arm) or ways to ask (of an untrained one) were scored
    on these held-out rows up to and with it.

    It depends only on records that are no younger than the arm's own, so a run that finds everything in the store finds
    the same. In a plan there is nothing to count yet.
    """
    if not isinstance(data, DataArtifact):
        return {}
    firsts: defaultdict[str, dict[str, float]] = defaultdict(dict)
    own: dict[str, str] = {}
    digests = {arm.digest for arm in arms if isinstance(arm, ArmArtifact)}
    for record in _on_the_same_rows(current_store(), data.digest):
        name, way = record["ingredients"]["arm.name"], _way(record["ingredients"])
        firsts[name][way] = min(firsts[name].get(way, math.inf), float(record["sealed_at"]))
        if record["artifact"]["digest"] in digests:
            own[name] = way
    return {name: sum(first <= firsts[name][way] for first in firsts[name].values()) for name, way in own.items()}


def _on_the_same_rows(store: ArtifactStore, digest: str) -> Iterator[dict[str, Any]]:
    """Yield the records of arms that were scored on byte for byte the same held-out rows."""
    rows_of = functools.cache(functools.partial(_rows_of, store))
    wanted = rows_of(digest)
    for record in store.records(STAGE) if wanted is not None else ():
        if rows_of(record["ingredients"]["data"]) == wanted:
            yield record


def _rows_of(store: ArtifactStore, digest: str) -> str | None:
    """Return the sha256 of the held-out rows of sealed data, or None where this machine does not have them."""
    try:
        manifest = json.loads((store.root / "artifacts" / digest / MANIFEST).read_text(encoding="utf-8"))
        return str(manifest["files"][ROWS][0])
    except (OSError, ValueError, KeyError):
        return None


def _way(ingredients: dict[str, Any]) -> str:
    """Return what makes an arm another one to try: its adapter, or its settings; not a new release of this code."""
    if ingredients["adapter"] is not None:
        return str(ingredients["adapter"])
    return json.dumps({name: value for name, value in ingredients.items() if not name.startswith(NOT_SETTINGS)})
