"""What changed since the last time: rows added, removed, changed, and moved to the other side. For people only; it enters no sealed file."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from pathlib import Path

import polars as pl

from tasks.data.turns import asked
from tasks.planning import current_run
from tasks.store import ArtifactStore

STAGE = "validate_data"
TEXTS = ["history", "prompt", "completion"]


@dataclass(frozen=True)
class Changes:
    """Kept rows against those of the last time: a changed row has the same request and another answer, a moved one is on the other side."""

    added: int
    removed: int
    changed: int
    moved: int

    def __str__(self) -> str:
        """Say it in words."""
        if not any(astuple(self)):
            return "no row added, removed or changed"
        return f"{self.added} rows added, {self.removed} removed, {self.changed} with another answer, {self.moved} moved to the other side"


def last_time(store: ArtifactStore) -> Path | None:
    """Return the folder of the data that this run's last validation sealed, or None: there was none, it is not whole, or has other columns by now."""
    record = store.latest(STAGE, STAGE, current_run.get())
    if record is None or record["run"] != current_run.get() or not store.is_whole(record["artifact"]["digest"]):
        return None
    folder = store.open(record["artifact"]["digest"])
    return folder if set(TEXTS) <= pl.read_parquet_schema(folder / "train.parquet").keys() else None


def changes_between(before: Path, after: Path) -> Changes:
    """Compare the kept rows of two opened DataArtifacts by their texts; a row's number does not count, so that an inserted row is one change."""
    old, new = _rows(before), _rows(after)
    texts = ["asked", "answered"]
    gone, came = old.join(new, on=texts, how="anti"), new.join(old, on=texts, how="anti")
    counts = gone.group_by("asked").len("gone").join(came.group_by("asked").len("came"), on="asked")
    changed = int(counts.select(pl.min_horizontal("gone", "came").sum()).item() or 0)
    moved = old.join(new, on=texts).filter(pl.col("side") != pl.col("side_right")).height
    return Changes(came.height - changed, gone.height - changed, changed, moved)


def _rows(folder: Path) -> pl.DataFrame:
    """Return the texts' fingerprints and the side of each row, so that a million rows take 17 MB."""
    sides = [pl.read_parquet(folder / f"{side}.parquet", columns=TEXTS).with_columns(side=pl.lit(side)) for side in ("train", "held_out")]
    hashed = [frame.select(asked=asked(frame).hash(5), answered=pl.col("completion").hash(5), side=pl.col("side") == "train") for frame in sides]
    return pl.concat(hashed).unique(["asked", "answered"])
