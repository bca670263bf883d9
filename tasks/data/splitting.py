"""Train or held out, by whole groups.

Guaranteed: a group's side is a function of the seed and its own name. It never moves because other rows are added,
removed, relabelled or reordered, and a larger share only adds to what is held out. Groups that near-duplicates tie
together have the side of the first of them (tasks/data/overlap/ties.py): they never move because rows are appended
(to 200 or more), but may when their first row is removed or another order puts another group first.

Not guaranteed: exact shares, overall or per label of a choice task. No split can have both. Let side(x, S) be the side
of group x among the groups S. If no group ever moves when others come, side(x, S) = side(x, {x}) for every S that
contains x: the other groups have no influence, and so nothing can be balanced among them. A label with n groups of one
row has its held-out share within sqrt(ln(2 / d) / (2 n)) of the requested one with probability 1 - d (Hoeffding,
"Probability inequalities for sums of bounded random variables", 1963): with 100 groups within 0.14 in 95 of 100 cases.
The actual shares are reported, with a seed that gives more even ones (tasks/data/reporting/balance.py).
"""

from __future__ import annotations

import hashlib
import math

import polars as pl

from schemas.errors import DatasetRefused

SURE = 0.99  # probability that the suggested number of groups leaves no side empty


def own_group(prompts: pl.Series) -> pl.Series:
    """Return a group for each row without one: a fingerprint of its first request, so equal requests share a group."""
    return pl.Series(
        "group", [f"row-{hashlib.sha256(text.encode()).hexdigest()[:16]}" for text in prompts], dtype=pl.String
    )


def is_held_out(group: str, seed: int, share: float) -> bool:
    """Tell whether a group is held out."""
    drawn = int.from_bytes(hashlib.sha256(f"{seed}\n{group}".encode()).digest()[:8], "big")
    return drawn < share * 2.0**64


def held_out_of(groups: pl.Series, seed: int, share: float) -> pl.Series:
    """Return for each row whether it is held out.

    Args:
        groups: the rows', as text.
        seed: the run's.
        share: the share of groups to hold out.
    """
    held = [group for group in groups.unique() if is_held_out(group, seed, share)]
    return groups.is_in(held).alias("is_held_out")


def refuse_one_sided(rows: pl.DataFrame, share: float) -> None:
    """Refuse rows (need `grouped`, a fingerprint of the group, and `is_held_out`) that cannot be split.

    Raises:
        DatasetRefused: there is only one group, or one side is empty.
    """
    groups = rows["grouped"].n_unique()
    if groups < 2:
        raise DatasetRefused(
            "All rows belong to one group, so nothing can be held out: a group is never split between train and held "
            "out. Name another data.group, or none; rows that nearly repeat each other are one group too, unless "
            "data.tie_near_duplicates is false."
        )
    if not rows["is_held_out"].any() or rows["is_held_out"].all():
        raise DatasetRefused(_one_sided(groups, share, "train" if rows["is_held_out"].any() else "held-out"))


def _one_sided(groups: int, share: float, empty: str) -> str:
    rarer = share if empty == "held-out" else 1 - share
    needed = max(groups + 1, math.ceil(math.log(1 - SURE) / math.log(1 - rarer)))
    return (
        f"The {empty} set is empty: {groups} groups, data.held_out {share:g}. With about {needed} groups the chance of "
        f"that would be {1 - SURE:.0%}; add rows, {'raise' if empty == 'held-out' else 'lower'} data.held_out, or use "
        "another seed."
    )
