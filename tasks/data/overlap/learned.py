"""Today's held-out rows that an earlier adapter was trained on, where its score would measure memorisation.

As long as seed, share and group column stay the same and rows are only appended, a held-out group was never a train
group (tasks/data/splitting.py). If one of them changed, today's held-out rows may have been learned. The rows that the
adapter was fitted on show which.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from schemas.champion import LearnedRowsArtifact, SplitRule
from tasks.data.overlap.near_duplicates import near_pairs
from tasks.data.splitting import is_held_out
from tasks.data.text.normalisation import normalised, without_punctuation
from tasks.data.text.turns import full_request

FOUND = {"row_id": pl.Int64, "reason": pl.String}


@dataclass(frozen=True)
class HowSplit:
    """How the adapter's rows were split (None: its version does not say), today's group column, and the similarity from
    which two requests are near-duplicates.
    """

    was: SplitRule | None
    group: str | None
    near_duplicate: float


def learned_rows(
    today: Path, limit: int | None, learned: Path | None, split: HowSplit, out: Path
) -> LearnedRowsArtifact:
    """Write learned.parquet: held-out rows that the adapter learned or may have learned.

    Args:
        today: opened DataArtifact whose held-out rows are evaluated.
        limit: only the first rows are evaluated, if there is a limit.
        learned: opened DataArtifact that the adapter was fitted on; None if it is lost.
        split: from which the learned rows are derived if the data is lost.
        out: where the file goes.
    """
    held_out = pl.read_parquet(today / "held_out.parquet", columns=["row_id", "history", "prompt", "group"])
    held_out = held_out.sort("row_id").head(limit or 2**31)
    found, problem = pl.DataFrame(schema=FOUND), ""
    if learned is not None:
        train = pl.read_parquet(learned / "train.parquet", columns=["row_id", "history", "prompt", "group"])
        names = _names(today, held_out).filter(pl.col("name").is_in(_names(learned, train)["name"].implode()))
        found = _in_train(held_out, train, names["group"], split.near_duplicate)
    elif split.was is None or split.was.group != split.group:
        problem = (
            "the rows that it was trained on are no longer in the store, and the way they were split does not show "
            "which of today's rows they include"
        )
    else:
        found = _not_held_out_then(held_out, _names(today, held_out), split.was)
    unseen = 0 if problem else held_out.height - found.height
    if not problem and unseen == 0:
        problem = f"it learned, or may have learned, all of today's {held_out.height} held-out rows"
    found.write_parquet(out / "learned.parquet")
    return LearnedRowsArtifact(learned=found.height, unseen=unseen, problem=problem)


def _names(data: Path, rows: pl.DataFrame) -> pl.DataFrame:
    """Return each group of these rows of an opened DataArtifact with its name, and with the names of the groups that
    near-duplicates tied to it (columns group and name).
    """
    known = [rows.select("group", name="group")]
    if (data / "tied.parquet").exists():  # data of earlier releases has none
        own = pl.read_parquet(data / "tied.parquet").rename({"group": "name"})
        known.append(rows.join(own, on="row_id", how="inner").select("group", "name"))
    return pl.concat(known).unique()


def _in_train(held_out: pl.DataFrame, train: pl.DataFrame, groups: pl.Series, threshold: float) -> pl.DataFrame:
    """Return held-out rows that share a request, a group or nearly a request with a train row, and the first reason."""
    said, taught = normalised(full_request(held_out)), normalised(full_request(train))
    # Train rows first: each of several similar texts is compared with the first one.
    near = near_pairs(pl.concat([taught.rename("normalised"), said.rename("normalised")]), threshold)
    crossing = near.filter((pl.col("first") < train.height) & (pl.col("second") >= train.height))
    reason = (
        pl.when(without_punctuation(said).is_in(without_punctuation(taught).implode()))
        .then(pl.lit("same_request"))
        .when(pl.col("group").is_in(groups.implode()))
        .then(pl.lit("same_group"))
        .when((pl.int_range(pl.len()) + train.height).is_in(crossing["second"].implode()))
        .then(pl.lit("near_request"))
    )
    return held_out.select("row_id", reason=reason).drop_nulls("reason")


def _not_held_out_then(held_out: pl.DataFrame, names: pl.DataFrame, was: SplitRule) -> pl.DataFrame:
    """Return the rows that may have been train rows under the earlier split. A group's side depends on its name alone;
    which groups were tied then is not known, so that each of the names counts.
    """
    is_train = [not is_held_out(name, was.seed, was.held_out) for name in names["name"]]
    groups = names.filter(pl.Series(is_train, dtype=pl.Boolean))["group"].unique()
    return held_out.filter(pl.col("group").is_in(groups.implode())).select("row_id", reason=pl.lit("other_split"))
