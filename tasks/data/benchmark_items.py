"""Train rows that hold a benchmark's items: what a model has learned by heart, no benchmark can measure any more.

An item is a record of a benchmark's data file; each of its texts counts. A text is taken to stand in a train row when nearly all of its
three-word runs do: the row may hold more, in any order, so that a question found in a longer request is found too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from schemas.artifacts import LeakageArtifact
from schemas.errors import DatasetRefused
from tasks.answers.contract import Breach
from tasks.data.records import READ, read_records
from tasks.data.refusing import row_numbers
from tasks.data.shingles import CHUNK, Shingles, shingles_of, template_of
from tasks.data.speech import spoken
from tasks.data.spool import frames_in
from tasks.data.turns import asked

if TYPE_CHECKING:
    from schemas.artifacts import BenchmarkSources
    from tasks.progress import Audience

HELD = 0.8  # share of a text's three-word runs that stand in a row
FEWEST_RUNS = 4  # of a shorter text it cannot be told whether it was copied: anybody may have said so
LEAK = {"row_id": pl.Int64, "file": pl.String, "item": pl.Int64, "share": pl.Float64}


def find_leaks(data: Path, benchmark: BenchmarkSources, out: Path, audience: Audience) -> LeakageArtifact:
    """Compare the train rows of an opened DataArtifact with a benchmark's items, write leaks.parquet, and say what was found."""
    texts, unread = benchmark_texts(benchmark)
    leaks = leaks_of(frames_in(data / "train.parquet", "row_id", "history", "prompt", "completion"), texts)
    leaks.write_parquet(out / "leaks.parquet", compression="zstd", compression_level=3, statistics=False)
    rows, items = leaks["row_id"].unique().sort(), leaks.select("file", "item").n_unique()
    if rows.len():
        files = ", ".join(sorted(leaks["file"].unique()))
        audience.say(f"leakage: {rows.len()} train rows ({row_numbers(rows)}) hold {items} benchmark items of {files}: those items measure memory")
    if unread:
        audience.say(f"leakage: not looked at: {', '.join(unread)}")
    return LeakageArtifact(texts=texts.height, items=items, rows=rows.len(), unread=unread)


def benchmark_texts(benchmark: BenchmarkSources) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Return the texts of every item (columns file, item, text), and what could not be read: data on the hub, files of another kind."""
    unread = [f"hub:{name}" for name in sorted(benchmark.hub)]
    frames = [pl.DataFrame(schema={"file": pl.String, "item": pl.Int64, "text": pl.String})]
    for file in benchmark.files:
        path = Path(file.path)
        if file.suffix in READ:
            try:
                frames.append(pl.DataFrame(list(_texts(path, file.suffix)), schema=frames[0].schema, orient="row"))
            except DatasetRefused:
                unread.append(path.name)
        elif file.suffix not in (".yaml", ".yml", ".py"):
            unread.append(path.name)
    return pl.concat(frames), tuple(unread)


def _texts(path: Path, suffix: str) -> Iterator[tuple[str, int, str]]:
    for number, record in read_records(path, suffix):
        if not isinstance(record, Breach):
            yield from ((path.name, number, text) for text in _strings(record))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for inner in value.values() for text in _strings(inner))
    elif isinstance(value, list):
        yield from (text for inner in value for text in _strings(inner))


def leaks_of(rows: Iterable[pl.DataFrame], texts: pl.DataFrame) -> pl.DataFrame:
    """Return every (train row, item) where the row holds a text of the item, with the largest share of it that it holds (LEAK's columns).

    Args:
        rows: frames with row_id, history, prompt and completion.
        texts: as `benchmark_texts` gives them.
    """
    said = spoken(texts["text"])
    runs = shingles_of(said).without(template_of(said))
    index = _Index(runs)
    found = [pl.DataFrame(schema=LEAK)]
    for frame in rows:
        for some in frame.iter_slices(CHUNK):
            place, text, share = index.held_by(spoken(asked(some) + "\n" + some["completion"]))
            found.append(
                pl.DataFrame({"row_id": some["row_id"].gather(place), "file": texts["file"].gather(text), "item": texts["item"].gather(text), "share": share})
            )
    return pl.concat(found).group_by("row_id", "file", "item").agg(pl.col("share").max()).sort("row_id", "file", "item")


class _Index:
    """Which texts each three-word run stands in."""

    def __init__(self, runs: Shingles) -> None:
        text = np.repeat(np.arange(len(runs.offsets) - 1), np.diff(runs.offsets))
        pairs = np.unique(np.stack([runs.hashes, text.astype(np.uint64)], axis=1), axis=0)
        self.sizes = np.bincount(pairs[:, 1].astype(np.int64), minlength=len(runs.offsets) - 1)
        judged = self.sizes[pairs[:, 1].astype(np.int64)] >= FEWEST_RUNS
        self.hashes, self.texts = pairs[judged, 0], pairs[judged, 1].astype(np.int64)

    def held_by(self, rows: pl.Series) -> tuple[pl.Series, pl.Series, pl.Series]:
        """Return (position of the row, position of the text, share of the text's runs) where the share is at least HELD."""
        runs = shingles_of(rows)
        row = np.repeat(np.arange(len(rows)), np.diff(runs.offsets))
        first, last = (np.searchsorted(self.hashes, runs.hashes, side=side) for side in ("left", "right"))
        hits = pl.DataFrame({"row": row, "hash": runs.hashes, "first": first, "last": last}).filter(pl.col("first") < pl.col("last")).unique(["row", "hash"])
        each = hits.with_columns(at=pl.int_ranges("first", "last")).explode("at")
        held = each.with_columns(text=pl.Series(self.texts[each["at"].to_numpy()])).group_by("row", "text").len()
        share = held["len"] / pl.Series(self.sizes[held["text"].to_numpy()])
        kept = held.with_columns(share=share).filter(pl.col("share") >= HELD)
        return kept["row"], kept["text"], kept["share"]
