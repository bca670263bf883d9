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


def split(rows: pl.DataFrame, seed: int, share: float) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return (train rows, held-out rows) in the order of the source.

    Args:
        rows: needs `group`.
        seed: the run's.
        share: of the groups, that is to be held out.

    Raises:
        DatasetRefused: there is one group only, or one side would be empty.
    """
    groups = rows["group"].unique(maintain_order=True).to_list()
    if len(groups) < 2:
        raise DatasetRefused(
            "Every row is of one group, so nothing can be held out: rows of a group never stand on both sides. Name another data.group, or none."
        )
    held = [group for group in groups if is_held_out(group, seed, share)]
    if len(held) in (0, len(groups)):
        raise DatasetRefused(_one_sided(len(groups), share, "held-out" if not held else "train"))
    sides = rows["group"].is_in(held)
    return rows.filter(~sides), rows.filter(sides)


def _one_sided(groups: int, share: float, empty: str) -> str:
    rarer = share if empty == "held-out" else 1 - share
    needed = max(groups + 1, math.ceil(math.log(1 - SURE) / math.log(1 - rarer)))
    return (
        f"The {empty} set is empty: {groups} groups, data.held_out {share:g}. With about {needed} groups one is there almost surely; "
        f"give more rows, {'raise' if empty == 'held-out' else 'lower'} data.held_out, or take another seed."
    )
