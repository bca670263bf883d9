"""How often these held-out rows were asked before: the best of several equal arms looks better than it is.

The Ladder (Blum and Hardt 2015, arXiv 1502.04585) says why looks have to be counted. Here they are said beside the
verdict; nothing is refused for them.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scipy.special import ndtri

from schemas.artifacts import ArmArtifact, DataArtifact
from schemas.reports import ArmReport, Verdict
from tasks.decision.verdict.comparison import TRAINED
from tasks.reuse.current_store import current_store
from tasks.reuse.store import MANIFEST, ArtifactStore
from tasks.statistics.power import spread_of_interval

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
    rows: dict[str, str | None] = {}
    wanted = _rows_of(store, digest)
    for record in store.records(STAGE):
        data = record["ingredients"]["data"]
        rows.setdefault(data, _rows_of(store, data))
        if wanted is not None and rows[data] == wanted:
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


def with_looks(verdict: Verdict, looks: Mapping[str, int]) -> Verdict:
    """Return the verdict with the number of looks of each arm, and a caveat where the arm that it names is one of
    several.
    """
    arms = tuple(arm.model_copy(update={"looks": looks.get(arm.arm, 1)}) for arm in verdict.arms)
    named = next(arm for arm in arms if arm.arm == verdict.arm)
    told = (_sentence(named, verdict.confidence),) if named.looks > 1 else ()
    return verdict.model_copy(update={"arms": arms, "caveats": (*verdict.caveats, *told)})


def _sentence(arm: ArmReport, confidence: float) -> str:
    tried = f"{_ordinal(arm.looks)} adapter" if arm.arm in TRAINED else f"{_ordinal(arm.looks)} way to ask"
    return (
        f"{arm.arm} is the {tried} measured on these held-out rows; the best of {arm.looks} equal ones looks better by "
        f"about {luck_of_the_best(arm, confidence):.3f}. Other held-out rows (another seed) would tell."
    )


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def luck_of_the_best(arm: ArmReport, confidence: float) -> float:
    """Return by how much the best of so many equal arms is expected to score above its true mean.

    The part of an arm's error that is its own is that of a difference between two arms on the same rows, divided by
    the root of 2; the largest of n normals is by Blom's approximation (1958).
    """
    ends = (arm.gain_low, arm.gain_high) if arm.gain_low is not None else (arm.lag_low, arm.lag_high)
    low, high = (arm.low, arm.high) if ends[0] is None or ends[1] is None else (ends[0], ends[1])
    error = spread_of_interval((high - low) / 2, arm.groups, confidence).per_group / math.sqrt(arm.groups)
    return float(ndtri((arm.looks - 0.375) / (arm.looks + 0.25))) * error / math.sqrt(2)
