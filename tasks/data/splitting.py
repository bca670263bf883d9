"""Train or held out, by whole groups.

A group's side is a function of the seed and its own name, so that no group moves because rows came or went. The share that is held out
therefore comes close to the one asked for, not to the digit; nor are the labels of a choice task evened out (tasks/data/balance.py).
"""

from __future__ import annotations

import hashlib
import math

import polars as pl

from schemas.errors import DatasetRefused

SURE = 0.99  # chance that enough groups are named to have one held out


def own_group(prompts: pl.Series) -> pl.Series:
    """Return a group for each row that is given none: a fingerprint of its (first) spoken request, so that equal requests stand together."""
    return pl.Series("group", [f"row-{hashlib.sha256(text.encode()).hexdigest()[:16]}" for text in prompts], dtype=pl.String)


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
            "Every row is of one group, so nothing can be held out: rows of a group never stand on both sides. Name another data.group, or none."
        )
    if not rows["is_held_out"].any() or rows["is_held_out"].all():
        raise DatasetRefused(_one_sided(groups, share, "train" if rows["is_held_out"].any() else "held-out"))


def _one_sided(groups: int, share: float, empty: str) -> str:
    rarer = share if empty == "held-out" else 1 - share
    needed = max(groups + 1, math.ceil(math.log(1 - SURE) / math.log(1 - rarer)))
    return (
        f"The {empty} set is empty: {groups} groups, data.held_out {share:g}. With about {needed} groups one is there almost surely; "
        f"give more rows, {'raise' if empty == 'held-out' else 'lower'} data.held_out, or take another seed."
    )
