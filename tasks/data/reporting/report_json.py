"""report.json: the numbers of what was read, found and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from tasks.data.checking.languages import language_counts
from tasks.data.checking.personal_libraries import missing_libraries
from tasks.data.checking.reasons import REASONS
from tasks.data.checking.sieve import Sieve, tally
from tasks.data.overlap.leakage import leakage_of
from tasks.data.reading.spool import SIDES, frames_in
from tasks.data.reporting.balance import balance_of, evener_seed, label_counts

if TYPE_CHECKING:
    from pathlib import Path

    from schemas.sections.task import TaskConfig

FIRST = 20  # rows named per reason; the parquet files list all of them
QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.95, 1.0)


def report_of(sieve: Sieve, corpus: pl.DataFrame | None, task: TaskConfig, share: float, out: Path) -> dict[str, Any]:
    """Return the report as JSON values; it contains no text of any row except the labels of a choice task.

    Args:
        sieve: all findings, and the rows that are left.
        corpus: the documents, if there are any.
        task: its answer's contract names the labels.
        share: the requested share of held-out groups.
        out: the folder of train.parquet and held_out.parquet.
    """
    train, held_out = (sieve.rows.filter(side) for side in (~pl.col("is_held_out"), pl.col("is_held_out")))
    sides = {"train": train, "held_out": held_out}
    counts = {"read": sieve.read, "train": train.height, "held_out": held_out.height, "refused": sieve.refused.height}
    return {
        "rows": counts,
        "groups": {side: rows["grouped"].n_unique() for side, rows in sides.items()},
        "taught": {side: int(rows["is_taught"].sum()) for side, rows in sides.items()},
        "tied": _tied(sieve.rows, out),
        "taken_out": _reasons(sieve.refused),
        "noted": _reasons(sieve.notes),
        "personal_data": {"is_looked_for": not missing_libraries(), "missing": missing_libraries()},
        "leakage": leakage_of(sieve, corpus, task.answer.format, out),
        "characters": {side: _lengths(rows) for side, rows in sides.items()},
        "languages": {column: language_counts(sides.values(), column) for column in ("prompt", "completion")},
        "labels": _labels(train, held_out, task.answer.labels, share, out) if task.answer.format == "choice" else None,
        "documents": None if corpus is None else corpus.height,
    }


def _tied(rows: pl.DataFrame, out: Path) -> dict[str, int]:
    """Return how many rows and groups near-duplicates gave another group, and the rows of the largest such group."""
    own = pl.read_parquet(out / "tied.parquet", columns=["group"])["group"]
    tied = rows.drop_nulls("leader")["grouped"].unique().implode()
    sizes = rows.filter(pl.col("grouped").is_in(tied)).group_by("grouped").len()["len"].to_list()
    return {"rows": own.len(), "groups": own.n_unique(), "largest": max(sizes, default=0)}


def _reasons(table: pl.DataFrame) -> dict[str, Any]:
    found = {}
    for reason, count in tally(table).items():
        rows = table.filter(pl.col("reason") == reason)
        done = {"rows": count, "action": rows["action"][0], "mend": REASONS[reason].mend}
        found[reason] = done | {"first": rows["row_id"].head(FIRST).to_list()}
    return found


def _lengths(rows: pl.DataFrame) -> dict[str, list[int]]:
    """Return the length in characters at QUANTILES, per column."""
    return {column: _quantiles(rows[f"{column}_characters"]) for column in ("prompt", "completion")}


def _quantiles(lengths: pl.Series) -> list[int]:
    return [int(lengths.quantile(share, "nearest") or 0) for share in QUANTILES]


def _labels(
    train: pl.DataFrame, held_out: pl.DataFrame, labels: tuple[str, ...], share: float, out: Path
) -> dict[str, Any]:
    counts = {"train": label_counts(train["answered"], labels), "held_out": label_counts(held_out["answered"], labels)}
    balance = balance_of(**counts, asked=share) | {"evener_seed": evener_seed(_labelled(out), share)}
    return counts | {"balance": balance}


def _labelled(out: Path) -> pl.DataFrame:
    """Return how many rows each group has of each label."""
    label = pl.col("completion").str.strip_chars().alias("label")
    frames = (frame for side in SIDES for frame in frames_in(out / f"{side}.parquet", "group", "completion"))
    counts = pl.concat([frame.group_by("group", label).len("rows") for frame in frames])
    return counts.group_by("group", "label").agg(pl.col("rows").sum()).sort("group", "label")
