"""What a benchmark can see, said before anything is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tasks.statistics.power import smallest_difference, worst_spread

ALIKE = 0.05  # correlation of the items of one topic that is reckoned with
CHANGED = 0.25  # share of answers that tuning changes; their spread is its root


def noticed(clusters: Sequence[str], margin: float, confidence: float, claims: int) -> float:
    """Return the smallest true loss that is shown to be more than the margin in 8 of 10 cases; infinite where there are
    too few clusters.
    """
    groups = len(set(clusters))
    spread = worst_spread(len(clusters) / groups, row_spread=CHANGED**0.5, correlation=ALIKE)
    return margin + smallest_difference(groups, spread, confidence, claims)


def sight_line(clusters: Mapping[str, Sequence[str]], margin: float, confidence: float) -> str:
    """Return what losses would be noticed, in words.

    Args:
        clusters: of every item by task.
        margin: accuracy that may be lost.
        confidence: of the decision.
    """
    pooled = [f"{name}: {cluster}" for name, own in clusters.items() for cluster in own]
    claims = len(clusters) + (len(clusters) > 1)
    parts = {"all items": pooled} | (dict(clusters) if len(clusters) > 1 else {})
    losses = {name: noticed(own, margin, confidence, claims) for name, own in parts.items()}
    told = [f"{_points(loss)} on {name} ({len(parts[name]):,} items)" for name, loss in losses.items()]
    return (
        f"benchmark: {_points(margin)} may be lost; noticed in 8 of 10 cases, if a quarter of the answers change: a "
        f"loss of {', '.join(told)}"
    )


def _points(loss: float) -> str:
    return "no size" if loss > 1 else f"{100 * loss:.2g} points"
