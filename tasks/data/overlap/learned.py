"""Held-out rows of today that an earlier adapter learned: on those it would be asked what it was told.

While seed, share and group column stay, a held-out group was never a train group (tasks/data/splitting.py). When one of
them changed, or when a new group asks what an old one asked, a row of today's held-out set may have been learned. The
rows that the adapter was fitted on tell it exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from schemas.artifacts import LearnedRowsArtifact
from schemas.champion import SplitRule
from tasks.data.overlap.near_duplicates import near_pairs
from tasks.data.splitting import is_held_out
from tasks.data.text.normalisation import normalised, without_punctuation
from tasks.data.text.turns import asked

FOUND = {"row_id": pl.Int64, "reason": pl.String}


@dataclass(frozen=True)
class HowSplit:
    """How the adapter's rows were split (None: its version does not tell), today's group column, and when two requests
    are near-duplicates.
    """

    was: SplitRule | None
    group: str | None
    near_duplicate: float


def learned_rows(
    today: Path, limit: int | None, learned: Path | None, split: HowSplit, out: Path
) -> LearnedRowsArtifact:
    """Write learned.parquet: held-out rows that the adapter learned, or may have.

    Args:
        today: opened DataArtifact whose held-out rows are asked.
        limit: only the first of them are, when there is one.
        learned: opened DataArtifact that the adapter was fitted on; None where it is lost.
        split: tells what it may have learned where that is lost.
        out: where the file goes.
    """
    held_out = (
        pl.read_parquet(today / "held_out.parquet", columns=["row_id", "history", "prompt", "group"])
        .sort("row_id")
        .head(limit or 2**31)
    )
    found, problem = pl.DataFrame(schema=FOUND), ""
    if learned is not None:
        train = pl.read_parquet(learned / "train.parquet", columns=["history", "prompt", "group"])
        found = _in_train(held_out, train, split.near_duplicate)
    elif split.was is None or split.was.group != split.group:
        problem = (
            "the rows that it learned are not in the store any more, and how they were split does not tell which of "
            "today's it knows"
        )
    else:
        found = _not_held_out_then(held_out, split.was)
    unseen = 0 if problem else held_out.height - found.height
    if not problem and unseen == 0:
        problem = f"it learned each of today's {held_out.height} held-out rows, or may have"
    found.write_parquet(out / "learned.parquet")
    return LearnedRowsArtifact(learned=found.height, unseen=unseen, problem=problem)


def _in_train(held_out: pl.DataFrame, train: pl.DataFrame, threshold: float) -> pl.DataFrame:
    """Return held-out rows whose request, group or nearly whose request a train row has, each with the first of these
    reasons.
    """
    said, taught = normalised(asked(held_out)), normalised(asked(train))
    # Train rows first: of texts that are alike, each is compared with the first one.
    near = near_pairs(pl.concat([taught.rename("normalised"), said.rename("normalised")]), threshold)
    crossing = near.filter((pl.col("first") < train.height) & (pl.col("second") >= train.height))
    reason = (
        pl.when(without_punctuation(said).is_in(without_punctuation(taught).implode()))
        .then(pl.lit("same_request"))
        .when(pl.col("group").is_in(train["group"].implode()))
        .then(pl.lit("same_group"))
        .when((pl.int_range(pl.len()) + train.height).is_in(crossing["second"].implode()))
        .then(pl.lit("near_request"))
    )
    return held_out.select("row_id", reason=reason).drop_nulls("reason")


def _not_held_out_then(held_out: pl.DataFrame, was: SplitRule) -> pl.DataFrame:
    """Return the rows that would have been train rows then, had they been there: a side follows from the group's name
    alone.
    """
    kept = [group for group in held_out["group"].unique() if is_held_out(group, was.seed, was.held_out)]
    return held_out.filter(~pl.col("group").is_in(kept)).select("row_id", reason=pl.lit("other_split"))
