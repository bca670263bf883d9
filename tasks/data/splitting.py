"""Train or held out, by whole groups.

What is guaranteed: a group's side is a function of the seed and its own name. It never moves because other rows came,
went, changed their label or stand in another order, and a larger share only adds to what is held out.

What is not: exact shares, over all or per label of a choice task. No split can have both. Let side(x, S) be the side of
group x among the groups S. If no group ever moves when others come, side(x, S) = side(x, {x}) for every S that holds x:
the other groups have no say, and so nothing can be evened out among them. A label with n groups of one row has its
held-out share within sqrt(ln(2 / d) / (2 n)) of the one asked for with a chance of 1 - d (Hoeffding, "Probability
inequalities for sums of bounded random variables", 1963): with 100 groups within 0.14 in 95 of 100 cases. What the
shares came to is measured and said, with a seed that draws evener ones (tasks/data/reporting/balance.py).
"""

from __future__ import annotations

import hashlib
import math

import polars as pl

from schemas.errors import DatasetRefused

SURE = 0.99  # chance that enough groups are named to have one held out


def own_group(prompts: pl.Series) -> pl.Series:
    """Return a group for each row that is given none: a fingerprint of its (first) normalised request, so that equal
    requests stand together.
    """
    return pl.Series(
        "group", [f"row-{hashlib.sha256(text.encode()).hexdigest()[:16]}" for text in prompts], dtype=pl.String
    )


def is_held_out(group: str, seed: int, share: float) -> bool:
    """Tell a group's side."""
    drawn = int.from_bytes(hashlib.sha256(f"{seed}\n{group}".encode()).digest()[:8], "big")
    return drawn < share * 2.0**64


def held_out_of(groups: pl.Series, seed: int, share: float) -> pl.Series:
    """Return for each row whether it is held out.

    Args:
        groups: the rows', as text.
        seed: the run's.
        share: of the groups, that is to be held out.
    """
    held = [group for group in groups.unique() if is_held_out(group, seed, share)]
    return groups.is_in(held).alias("is_held_out")


def refuse_one_sided(rows: pl.DataFrame, share: float) -> None:
    """Refuse rows (need `grouped`, a fingerprint of the group, and `is_held_out`) that cannot be split.

    Raises:
        DatasetRefused: there is one group only, or one side is empty.
    """
    groups = rows["grouped"].n_unique()
    if groups < 2:
        raise DatasetRefused(
            "Every row is of one group, so nothing can be held out: rows of a group never stand on both sides. Name "
            "another data.group, or none."
        )
    if not rows["is_held_out"].any() or rows["is_held_out"].all():
        raise DatasetRefused(_one_sided(groups, share, "train" if rows["is_held_out"].any() else "held-out"))


def _one_sided(groups: int, share: float, empty: str) -> str:
    rarer = share if empty == "held-out" else 1 - share
    needed = max(groups + 1, math.ceil(math.log(1 - SURE) / math.log(1 - rarer)))
    return (
        f"The {empty} set is empty: {groups} groups, data.held_out {share:g}. With about {needed} groups one is "
        "there almost surely; "
        f"give more rows, {'raise' if empty == 'held-out' else 'lower'} data.held_out, or take another seed."
    )
