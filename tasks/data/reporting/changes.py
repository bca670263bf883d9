"""What changed since the last run: rows added, removed, changed and moved. For display, in no sealed file."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from pathlib import Path

import polars as pl

from tasks.data.reading.spool import SIDES, frames_in
from tasks.data.reporting.earlier import STAGE
from tasks.data.text.redaction import excerpts
from tasks.data.text.turns import full_request
from tasks.reuse.planning import current_run
from tasks.reuse.store import ArtifactStore

COLUMNS = ("row_id", "history", "prompt", "completion")
TEXTS = ["asked", "answered"]


@dataclass(frozen=True)
class Changes:
    """Kept rows compared with the last run's: changed is another answer to a request, moved is on the other side."""

    added: int
    removed: int
    changed: int
    moved: int

    def __str__(self) -> str:
        """Return it in words."""
        if not any(astuple(self)):
            return "no row added, removed or changed"
        came = f"{self.added} rows added, {self.removed} removed"
        return f"{came}, {self.changed} with another answer, {self.moved} moved to the other side"


def last_time(store: ArtifactStore) -> Path | None:
    """Return the folder of the data that this run sealed last; None if there is none, or it is broken or older."""
    record = store.latest(STAGE, STAGE, current_run.get())
    if record is None or record["run"] != current_run.get() or not store.is_whole(record["artifact"]["digest"]):
        return None
    folder = store.open(record["artifact"]["digest"])
    return folder if is_comparable(folder) else None


def is_comparable(folder: Path) -> bool:
    """Tell whether an opened DataArtifact has the current columns."""
    return set(COLUMNS) <= pl.read_parquet_schema(folder / "train.parquet").keys()


def changes_between(before: Path, after: Path) -> Changes:
    """Compare the kept rows of two opened DataArtifacts by texts, not numbers: an inserted row is one change."""
    old, new = _rows(before), _rows(after)
    gone, came = _only_in(old, new), _only_in(new, old)
    counts = gone.group_by("asked").len("gone").join(came.group_by("asked").len("came"), on="asked")
    changed = int(counts.select(pl.min_horizontal("gone", "came").sum()).item() or 0)
    moved = old.join(new, on=TEXTS).filter(pl.col("is_train") != pl.col("is_train_right")).height
    return Changes(came.height - changed, gone.height - changed, changed, moved)


@dataclass(frozen=True)
class ChangedRow:
    """One row that differs: its request, and its redacted answers before (None: added) and after (None: removed)."""

    row_id: int
    prompt: str
    before: str | None
    after: str | None


def changed_rows(before: Path, after: Path, most: int) -> list[ChangedRow]:
    """Return up to `most` rows each that changed, were added and were removed, in the order of their numbers."""
    old, new = _rows(before), _rows(after)
    gone, came = _only_in(old, new), _only_in(new, old)
    pairs = came.join(gone, on="asked", how="inner").unique("asked", keep="first", maintain_order=True).head(most)
    added = came.join(gone, on="asked", how="anti", maintain_order="left").head(most)
    removed = gone.join(came, on="asked", how="anti", maintain_order="left").head(most)
    was = _texts_of(before, [*pairs["row_id_right"], *removed["row_id"]])
    now = _texts_of(after, [*pairs["row_id"], *added["row_id"]])
    both = pairs.select("row_id", "row_id_right").iter_rows()
    return [
        *(ChangedRow(row, now[row][0], was[other][1], now[row][1]) for row, other in both),
        *(ChangedRow(row, now[row][0], None, now[row][1]) for row in added["row_id"]),
        *(ChangedRow(row, was[row][0], was[row][1], None) for row in removed["row_id"]),
    ]


def _only_in(these: pl.DataFrame, those: pl.DataFrame) -> pl.DataFrame:
    return these.join(those, on=TEXTS, how="anti", maintain_order="left")


def _rows(folder: Path) -> pl.DataFrame:
    """Return number, side and fingerprints of the texts of each row: 25 MB for a million rows."""
    answered = pl.col("completion").hash(5)
    tables = [pl.DataFrame(schema={"row_id": pl.Int64, "asked": pl.UInt64, "answered": pl.UInt64, "is_train": bool})]
    for side in SIDES:
        is_train = pl.lit(side == "train")
        for frame in frames_in(folder / f"{side}.parquet", *COLUMNS):
            asked = full_request(frame).hash(5)
            tables.append(frame.select("row_id", asked=asked, answered=answered, is_train=is_train))
    return pl.concat(tables).sort("row_id").unique(TEXTS, keep="first", maintain_order=True)


def _texts_of(folder: Path, row_ids: list[int]) -> dict[int, tuple[str, str]]:
    """Return row -> how its prompt and its answer begin, redacted."""
    sides = [pl.scan_parquet(folder / f"{side}.parquet").select("row_id", "prompt", "completion") for side in SIDES]
    found = pl.concat(sides).filter(pl.col("row_id").is_in(row_ids)).collect()
    texts = zip(excerpts(found["prompt"]), excerpts(found["completion"]), strict=True)
    return dict(zip(found["row_id"], texts, strict=True))
