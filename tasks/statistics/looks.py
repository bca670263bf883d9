"""Several looks at data that grow: how much of the error each may take.

A claim that is made at any of the looks is false at most as often as the levels sum to, whatever the looks have in
common (Bonferroni). How they are shared out is the power family of alpha spending, alpha * share ** 3: Lan and DeMets
1983, Biometrika 70:659; Kim and DeMets 1987, Biometrika 74:149. The intervals that belong to the levels may be read at
every look: Jennison and Turnbull 1989, JRSS B 51:305.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

PORTIONS = (0.25, 0.5, 1.0)  # of all items, at each look
EXPONENT = 3  # early looks take little: the last one keeps 0.022 of 0.025


def levels_of(portions: Sequence[float], error: float) -> tuple[float, ...]:
    """Return each look's one-sided level; they sum to `error`.

    Args:
        portions: share of the data at each look, rising to 1.
        error: that may be made at all looks together, such as 0.025.
    """
    return tuple(error * (now**EXPONENT - before**EXPONENT) for before, now in pairwise((0.0, *portions)))
