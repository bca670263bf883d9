"""Benchmark contamination: train rows that contain a benchmark's items. What a model has memorised, a benchmark can no
longer measure.

An item is a record of a benchmark's data file; each of its texts counts. A text counts as contained in a train row if
nearly all of its three-word shingles are, so that a question is also found within a longer request.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from schemas.artifacts import LeakageArtifact
from schemas.errors import DatasetRefused
from schemas.sources import SourceFile
from tasks.answers.contract import Breach
from tasks.data.checking.refusing import row_numbers
from tasks.data.overlap.containment import Index
from tasks.data.overlap.leakage import twins_left
from tasks.data.overlap.templates import without_values
from tasks.data.reading.records import READ, read_records
from tasks.data.reading.spool import frames_in
from tasks.data.text.normalisation import normalised
from tasks.data.text.shingles import CHUNK, shingles_of, template_of
from tasks.data.text.turns import full_request

if TYPE_CHECKING:
    from schemas.sources import BenchmarkSources
    from tasks.reuse.progress import Reporter

Cached = Mapping[str, Sequence[SourceFile]]  # hub dataset -> its files in this machine's cache
LEAK = {"row_id": pl.Int64, "file": pl.String, "item": pl.Int64, "share": pl.Float64, "kind": pl.String}


def find_leaks(
    data: Path, benchmark: BenchmarkSources, cached: Cached, out: Path, reporter: Reporter
) -> LeakageArtifact:
    """Compare an opened DataArtifact's train rows with a benchmark's items; write leaks.parquet and leakage.json."""
    texts, unread = benchmark_texts(benchmark, cached)
    every = leaks_of(frames_in(data / "train.parquet", "row_id", "history", "prompt", "completion"), texts)
    leaks, alike = every.filter(pl.col("kind") != "template"), every.filter(pl.col("kind") == "template")
    for name, table in (("leaks", leaks), ("templates", alike)):
        table.write_parquet(out / f"{name}.parquet", compression="zstd", compression_level=3, statistics=False)
    (out / "leakage.json").write_text(
        json.dumps(_matrix(every, texts), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    rows, items = leaks["row_id"].unique().sort(), leaks.select("file", "item").n_unique()
    named = ", ".join(benchmark.names)
    if rows.len():
        files = ", ".join(sorted(leaks["file"].unique()))
        reporter.say(
            f"leakage: {rows.len()} train rows ({row_numbers(rows)}) contain {items} benchmark items of {files} "
            f"({named}): those items would measure memorisation"
        )
    if alike.height:
        rest = alike["row_id"].unique().sort()
        reporter.say(
            f"leakage: {rest.len()} train rows ({row_numbers(rest)}) match benchmark items ({named}) except for "
            "numbers or quoted texts"
        )
    if unread:
        reporter.say(f"leakage: not examined: {', '.join(unread)}")
    counts = {"texts": texts.height, "items": items, "rows": rows.len(), "templates": alike["row_id"].n_unique()}
    return LeakageArtifact(**counts, twins=twins_left(data), unread=unread)


def _matrix(found: pl.DataFrame, texts: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Return "train x FILE" -> train rows by kind and the items that they contain, for every examined file."""
    matrix = {}
    for file in texts["file"].unique(maintain_order=True):
        own = found.filter(pl.col("file") == file)
        kinds = {
            kind: own.filter(pl.col("kind") == kind)["row_id"].n_unique() for kind in ("exact", "near", "template")
        }
        matrix[f"train x {file}"] = {**kinds, "items": own["item"].n_unique()}
    return matrix


def benchmark_texts(benchmark: BenchmarkSources, cached: Cached) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Return every item's texts (columns file, item, text), and what could not be read: uncached data, other kinds."""
    unread = [f"hub:{name}" for name in sorted(benchmark.hub) if name not in cached]
    frames = [pl.DataFrame(schema={"file": pl.String, "item": pl.Int64, "text": pl.String})]
    named = [*zip(benchmark.files, _names(benchmark.files), strict=True)]
    named += [(file, _cached_name(name, Path(file.path))) for name, files in sorted(cached.items()) for file in files]
    for file, name in named:
        if file.suffix in READ:
            try:
                found = list(_texts(Path(file.path), file.suffix, name))
                frames.append(pl.DataFrame(found, schema=frames[0].schema, orient="row"))
            except DatasetRefused:
                unread.append(name)
        elif file.suffix not in (".yaml", ".yml", ".py"):
            unread.append(name)
    return pl.concat(frames), tuple(unread)


def _names(files: Sequence[SourceFile]) -> list[str]:
    """Return each file's name, preceded by its folder's name if several files share it."""
    paths = [Path(file.path) for file in files]
    names = Counter(path.name for path in paths)
    return [path.name if names[path.name] == 1 else f"{path.parent.name}/{path.name}" for path in paths]


def _cached_name(hub_set: str, path: Path) -> str:
    """Return "hub:OWNER/NAME/PART/FILE" for a file CACHE/OWNER___NAME/PART/VERSION/HASH/FILE."""
    return f"hub:{hub_set}/{path.parents[2].name}/{path.name}"


def _texts(path: Path, suffix: str, name: str) -> Iterator[tuple[str, int, str]]:
    for number, record in read_records(path, suffix):
        if not isinstance(record, Breach):
            yield from ((name, number, text) for text in _strings(record))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for inner in value.values() for text in _strings(inner))
    elif isinstance(value, list):
        yield from (text for inner in value for text in _strings(inner))


def leaks_of(rows: Iterable[pl.DataFrame], texts: pl.DataFrame) -> pl.DataFrame:
    """Return every (train row, item) where the row contains a text of the item, with the largest contained share
    (LEAK's columns).

    `kind` is exact if the row contains all of the text, near if nearly all, and template if it does so except for
    numbers and quoted texts.

    Args:
        rows: frames with row_id, history, prompt and completion.
        texts: as `benchmark_texts` gives them.
    """
    bare = without_values(texts["text"])
    plain, template = _index(texts["text"]), _index(bare.set(bare == texts["text"], ""))
    found = [pl.DataFrame(schema=LEAK)]
    for frame in rows:
        for some in frame.iter_slices(CHUNK):
            said = full_request(some) + "\n" + some["completion"]
            hits = plain.held_by(normalised(said)).with_columns(
                kind=pl.when(pl.col("share") == 1).then(pl.lit("exact")).otherwise(pl.lit("near"))
            )
            valued = template.held_by(normalised(without_values(said))).with_columns(kind=pl.lit("template"))
            found += [_named(part, some, texts) for part in (hits, valued)]
    every = pl.concat(found).with_columns(
        rank=pl.col("kind").replace_strict({"exact": 0, "near": 1, "template": 2}, return_dtype=pl.Int8)
    )
    nearest = every.sort("row_id", "file", "item", "rank", -pl.col("share"))
    return nearest.unique(["row_id", "file", "item"], keep="first", maintain_order=True).drop("rank")


def _index(texts: pl.Series) -> Index:
    said = normalised(texts)
    return Index(shingles_of(said).without(template_of(said)))


def _named(hits: pl.DataFrame, rows: pl.DataFrame, texts: pl.DataFrame) -> pl.DataFrame:
    row_ids = rows["row_id"].gather(hits["row"])
    files, items = (texts[name].gather(hits["text"]) for name in ("file", "item"))
    return pl.DataFrame(
        {"row_id": row_ids, "file": files, "item": items, "share": hits["share"], "kind": hits["kind"]}, schema=LEAK
    )
