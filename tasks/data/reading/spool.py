"""The spool: rows that passed the checks of each row by itself are kept on disk in pieces, until it is known which of
them stay and on which side.

Only one piece is in memory at a time, so that memory does not grow with the texts.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq  # type: ignore[import-untyped, unused-ignore]
from numpy.typing import NDArray

from schemas.rows import OPTIONAL, KeptRows
from tasks.data.reading.copying import deep_copy

Places = NDArray[np.int64]

KEPT = tuple(KeptRows.to_schema().columns)
SIDES = ("train", "held_out")
BATCH = 50_000  # rows of a sealed file read at once


class Spool:
    """Rows with the columns of KeptRows and `normalised`; a row's place is its number here, from 0."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.starts = [0]
        self.empty = pl.DataFrame()
        self.filled: set[str] = set()  # optional columns that a row fills
        self._read: tuple[int, tuple[str, ...], pl.DataFrame] = (
            -1,
            (),
            self.empty,
        )  # the piece read last, as places are often close together

    def add(self, rows: pl.DataFrame) -> pl.Series:
        """Append rows and return their places."""
        first = self.starts[-1]
        if rows.height:
            rows.select(*KEPT, "normalised").write_ipc(self._path(len(self.starts) - 1), compression="lz4")
            self.starts.append(first + rows.height)
            self.empty = rows.select(*KEPT).clear()
            self.filled |= {name for name in OPTIONAL if rows[name].null_count() < rows.height}
        return pl.arange(first, first + rows.height, dtype=pl.UInt32, eager=True)

    def pieces(self) -> Iterator[tuple[int, pl.DataFrame]]:
        """Yield every piece with the place of its first row."""
        for number, start in enumerate(self.starts[:-1]):
            yield start, pl.read_ipc(self._path(number), columns=list(KEPT)).select(self.sealed)

    @property
    def sealed(self) -> list[str]:
        """The columns to seal: optional ones only where a row fills them."""
        return [name for name in KEPT if name not in OPTIONAL or name in self.filled]

    def rows_at(self, places: Places, *columns: str) -> pl.DataFrame:
        """Return these columns of the rows at these places, in their order."""
        if not places.size:
            return pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
        number = np.searchsorted(np.asarray(self.starts), places, side="right") - 1
        parts = [
            deep_copy(self._piece(int(one), columns)[places[number == one] - self.starts[one]])
            for one in np.unique(number)
        ]
        found: pl.DataFrame = pl.concat(parts)[np.argsort(np.argsort(number, kind="stable"))]
        return found

    def texts_of(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the prompt and completion of rows that have a `place`."""
        return self.rows_at(rows["place"].to_numpy().astype(np.int64), "prompt", "completion")

    def _piece(self, number: int, columns: tuple[str, ...]) -> pl.DataFrame:
        if self._read[:2] != (number, columns):
            self._read = number, columns, pl.read_ipc(self._path(number), columns=list(columns))
        return self._read[2]

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06}.arrow"


class NormalisedRequests:
    """The normalised requests of some of the spool's rows, as `near_pairs` reads them."""

    def __init__(self, spool: Spool, places: pl.Series) -> None:
        self.spool = spool
        self.places = places.to_numpy()

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.places)

    def gather(self, indices: Places, /) -> pl.Series:
        """Return the texts with these numbers."""
        return self.spool.rows_at(self.places[indices].astype(np.int64), "normalised")["normalised"]


@contextmanager
def spooling(folder: Path) -> Iterator[Spool]:
    """Yield an empty spool in a folder of its own, which is deleted afterwards."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield Spool(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def tied_groups(spool: Spool, rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows that belong to another group than their own: place, row_id, own (its name) and group (the
    other's).

    Args:
        spool: the names.
        rows: need `place`, `row_id`, and `leader`, the place of a row of the other group, or null.
    """
    tied = rows.select("place", "row_id", "leader").drop_nulls("leader")
    own, other = (
        spool.rows_at(tied[places].to_numpy().astype(np.int64), "group")["group"] for places in ("place", "leader")
    )
    return tied.select("place", "row_id", own=own, group=other)


def write_sides(spool: Spool, rows: pl.DataFrame, tied: pl.DataFrame, out: Path) -> None:
    """Write train.parquet and held_out.parquet in the order of the source.

    Args:
        spool: the texts.
        rows: those to keep, in the spool's order; need `place` and `is_held_out`.
        tied: those of them whose group is another than their own (`tied_groups`).
        out: where the files go.
    """
    places, is_held_out = rows["place"].to_numpy(), rows["is_held_out"].to_numpy()
    moved, names = tied["place"].to_numpy().astype(np.int64), tied["group"]
    schema = spool.empty.select(spool.sealed).to_arrow().schema
    with ExitStack() as open_files:
        # Every option is set, so that the bytes do not depend on defaults.
        writers = [
            open_files.enter_context(
                pq.ParquetWriter(
                    out / f"{side}.parquet",
                    schema,
                    compression="zstd",
                    compression_level=3,
                    write_statistics=False,
                    use_dictionary=["group"],
                )
            )
            for side in SIDES
        ]
        for start, piece in spool.pieces():
            first, last = np.searchsorted(places, [start, start + piece.height])
            some = slice(*np.searchsorted(moved, [start, start + piece.height]))
            piece = piece.with_columns(piece["group"].scatter(moved[some] - start, names[some]))
            stays, held = places[first:last].astype(np.int64) - start, is_held_out[first:last]
            for writer, which in zip(writers, (stays[~held], stays[held]), strict=True):
                if which.size:
                    writer.write_table(KeptRows.validate(piece[which]).to_arrow())


def frames_in(path: Path, *columns: str) -> Iterator[pl.DataFrame]:
    """Yield a sealed file's rows in batches; all columns if none is named."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(BATCH, columns=list(columns) or None):
            yield pl.DataFrame(pl.from_arrow(batch))
