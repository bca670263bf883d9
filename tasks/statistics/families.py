"""Several claims at once: Holm's correction, and the exact check of helped against hurt rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SAME = 1e-12  # scores that differ by less are equal: .6 - .4 and .5 - .3
MOST_STEPS = 1_000_000  # whole-number totals that the exact check walks through


def holm(chances: Sequence[float]) -> tuple[float, ...]:
    """Return the p-values of a family, corrected so that any false claim among them is as rare as one alone would be.

    Holm 1979, Scandinavian Journal of Statistics 6:65; the order of the input is kept.
    """
    order = sorted(range(len(chances)), key=lambda place: chances[place])
    corrected = [0.0] * len(chances)
    largest = 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(chances) - rank) * chances[place]))
        corrected[place] = largest
    return tuple(corrected)


@dataclass(frozen=True)
class Changes:
    """Rows that a change helped and hurt, and how often chance alone would tip them so far."""

    helped: int
    hurt: int
    groups: int
    p: float | None


def changes_of(
    before: Sequence[float] | NDArray[np.float64],
    after: Sequence[float] | NDArray[np.float64],
    clusters: Sequence[str] | None = None,
) -> Changes:
    """Count the rows whose score rose and fell, with a sign-flip test over groups.

    If nothing changed but by chance, each group's (rows helped - rows hurt) could as well have had the other sign. The
    p-value (two-sided, exact) is the share of all such flips whose total is at least as far from zero; it is None
    where there are more than MOST_STEPS totals times groups to walk.

    Args:
        before: one score a row, shape (rows,).
        after: of the same rows, in the same order.
        clusters: the group of each row; without it every row is its own.
    """
    difference = np.asarray(after, dtype=np.float64) - np.asarray(before, dtype=np.float64)
    signs = np.where(np.abs(difference) > SAME, np.sign(difference), 0.0)
    names = np.arange(len(signs)).astype(str) if clusters is None else np.asarray(clusters, dtype=str)
    _, index = np.unique(names, return_inverse=True)
    totals = np.abs(np.bincount(index, weights=signs)).astype(int)
    observed = abs(int(signs.sum()))
    return Changes(
        helped=int((signs > 0).sum()),
        hurt=int((signs < 0).sum()),
        groups=int((totals > 0).sum()),
        p=_flipped(totals[totals > 0], observed),
    )


def _flipped(totals: NDArray[np.int_], observed: int) -> float | None:
    """Return the share of sign flips whose total lies at least as far out, by adding one group after another."""
    reach = int(totals.sum())
    if (2 * reach + 1) * len(totals) > MOST_STEPS:
        return None
    shares = np.zeros(2 * reach + 1)
    shares[reach] = 1.0
    for total in totals:
        shares = 0.5 * (np.roll(shares, total) + np.roll(shares, -total))
    places = np.abs(np.arange(-reach, reach + 1))
    return float(min(1.0, shares[places >= observed].sum()))
