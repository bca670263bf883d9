"""The content of a data report, gathered from the sealed files of the data, the rendering and the leakage check."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from schemas.artifacts import DataArtifact, LeakageArtifact, RenderingArtifact
from tasks.data.checking.reasons import REASONS
from tasks.data.checking.sieve import tally
from tasks.data.overlap.ties import clustered
from tasks.data.reporting.changes import ChangedRow, Changes
from tasks.data.text.redaction import excerpts, redacted

EXAMPLES = 3  # rows shown of each reason
REFUSED_EXAMPLES = 12  # shown of each reason if there is nothing else to show
CLUSTERS = 6
MEMBERS = 4  # rows shown of each cluster
LEAKS = 6
SAMPLES = 10
REPEATS = ("exact_duplicate", "near_duplicate")
TWIN = re.compile(r"row (\d+)")  # how tasks/data/overlap/duplicates.py names a row's twin
SIDES = ("train", "held_out")
CHARACTERS = pl.col("prompt").str.len_chars() + pl.col("completion").str.len_chars()


@dataclass(frozen=True)
class ShownRow:
    """A row as it is shown: its place, the finding, and the beginning of its redacted texts."""

    row_id: int
    place: str
    detail: str
    prompt: str
    completion: str


@dataclass(frozen=True)
class ShownReason:
    """A reason with its rows; `action` is what was done with them."""

    name: str
    action: str
    rows: int
    mend: str
    examples: tuple[ShownRow, ...]


@dataclass(frozen=True)
class Cluster:
    """Rows that are exact or near duplicates of each other."""

    rows: int
    members: tuple[ShownRow, ...]


@dataclass(frozen=True)
class SampledRow:
    """A row as the model sees it: context and supervised text; `tokens` is None if no tokenizer was available."""

    side: str
    row_id: int
    read: str
    supervised: str
    tokens: int | None


@dataclass(frozen=True)
class Leak:
    """A train row that contains a benchmark's item."""

    row: ShownRow
    item: str
    share: float


@dataclass(frozen=True)
class DataFacts:
    """Everything that a data report shows; parts that do not exist are None or empty.

    Attributes:
        name: the run's name.
        report: the data's report.json.
        reasons: rows that were taken out, then rows that were noted, the most frequent first.
        clusters: the largest clusters of duplicates; `repeats` counts all of them.
        rendering: the rendering's rendering.json.
        lengths: side -> tokens of each row, or characters if there is no rendering.
        sample: rows from the shortest to the longest.
        benchmark: the leakage's leakage.json: file -> counts of train rows.
        leaks: train rows that contain benchmark items.
        changes: rows compared with the run's previous data; `changed` are a few of them.
        digests: artifact -> digest.
    """

    name: str
    data: DataArtifact
    report: dict[str, Any]
    reasons: tuple[ShownReason, ...]
    clusters: tuple[Cluster, ...]
    repeats: int
    lengths: dict[str, list[int]]
    sample: tuple[SampledRow, ...]
    rendering: dict[str, Any] | None = None
    tokens: RenderingArtifact | None = None
    leakage: LeakageArtifact | None = None
    benchmark: dict[str, dict[str, Any]] = field(default_factory=dict)
    leaks: tuple[Leak, ...] = ()
    changes: Changes | None = None
    changed: tuple[ChangedRow, ...] = ()
    digests: dict[str, str] = field(default_factory=dict)


def read_json(path: Path) -> Any:
    """Return a JSON file's value."""
    return json.loads(path.read_text(encoding="utf-8"))


class Rows:
    """The rows of an opened DataArtifact; texts are only read of rows that are shown."""

    def __init__(self, data: Path) -> None:
        self.refused, self.notes = (pl.read_parquet(data / f"{name}.parquet") for name in ("refused", "notes"))
        columns = ("row_id", "history", "prompt", "completion")
        sides = ((side, pl.scan_parquet(data / f"{side}.parquet")) for side in SIDES)
        self.kept = pl.concat([frame.select(*columns, side=pl.lit(side)) for side, frame in sides])

    def shown(self, found: Iterable[tuple[int, str]]) -> dict[int, ShownRow]:
        """Return row -> ShownRow, for these rows with the detail of each."""
        details = dict(found)
        kept = self.kept.filter(pl.col("row_id").is_in(list(details))).collect()
        kept = kept.with_columns(excerpts(kept["prompt"]), excerpts(kept["completion"]))
        places = pl.concat([self.refused, self.notes], how="diagonal").unique("row_id", keep="first")
        known = pl.concat([kept.drop("side", "history"), self.refused.select("row_id", "prompt", "completion")])
        rows = known.filter(pl.col("row_id").is_in(list(details)))
        rows = rows.join(places.select("row_id", "file", "line"), on="row_id", how="left")
        return {row["row_id"]: _shown(row, details[row["row_id"]]) for row in rows.to_dicts()}


def _shown(row: dict[str, Any], detail: str) -> ShownRow:
    place = f"{row['file']}:{row['line']}" if row["file"] else ""
    return ShownRow(row["row_id"], place, detail or "", row["prompt"] or "", row["completion"] or "")


def reasons_of(rows: Rows) -> tuple[ShownReason, ...]:
    """Return every reason with its first rows."""
    tables = rows.refused, rows.notes
    return tuple(_reason(rows, table, name, count) for table in tables for name, count in tally(table).items())


def _reason(rows: Rows, table: pl.DataFrame, name: str, count: int) -> ShownReason:
    found = table.filter(pl.col("reason") == name)
    first = list(found.head(EXAMPLES).select("row_id", "detail").iter_rows())
    shown = rows.shown(first)
    examples = tuple(shown[row] for row, _ in first if row in shown)
    return ShownReason(name, found["action"][0], count, REASONS[name].mend, examples)


def reasons_of_refused(refused: Path) -> tuple[ShownReason, ...]:
    """Return every reason of a refused.parquet with its first rows; those that data.refuse_above counts come first."""
    table = pl.read_parquet(refused)
    shown = []
    for name, count in tally(table).items():
        first = table.filter(pl.col("reason") == name).head(REFUSED_EXAMPLES).to_dicts()
        examples = tuple(_shown(row, row["detail"]) for row in first)
        shown.append(ShownReason(name, first[0]["action"], count, first[0]["mend"], examples))
    return tuple(sorted(shown, key=lambda reason: reason.action != "refuse"))


def clusters_of(rows: Rows) -> tuple[tuple[Cluster, ...], int]:
    """Return the largest clusters of duplicate rows, and the number of all clusters."""
    found = pl.concat([rows.refused, rows.notes], how="diagonal").filter(pl.col("reason").is_in(REPEATS))
    named = found.select("row_id", "detail").iter_rows()
    twins = [(row, int(match.group(1)), detail) for row, detail in named if (match := TWIN.search(detail))]
    members: defaultdict[int, list[int]] = defaultdict(list)
    linked = [np.array([twin[at] for twin in twins], dtype=np.int64) for at in (0, 1)]
    for row, cluster in clustered(*linked).iter_rows():
        members[cluster].append(row)
    largest = sorted(members.values(), key=lambda group: (-len(group), group[0]))
    details = {row: detail for row, _, detail in twins}
    return tuple(_cluster(rows, group, details) for group in largest[:CLUSTERS]), len(largest)


def _cluster(rows: Rows, group: list[int], details: dict[int, str]) -> Cluster:
    shown = rows.shown((row, details.get(row, "")) for row in group[:MEMBERS])
    return Cluster(len(group), tuple(shown[row] for row in group[:MEMBERS] if row in shown))


def leaks_of_benchmark(rows: Rows, leakage: Path) -> tuple[Leak, ...]:
    """Return the first train rows that contain a benchmark's item."""
    table = pl.read_parquet(leakage / "leaks.parquet").unique("row_id", keep="first", maintain_order=True)
    found = table.head(LEAKS).to_dicts()
    shown = rows.shown((leak["row_id"], "") for leak in found)
    known = (leak for leak in found if leak["row_id"] in shown)
    return tuple(Leak(shown[leak["row_id"]], f"{leak['file']}, item {leak['item']}", leak["share"]) for leak in known)


def sample_of(rows: Rows, rendering: Path | None) -> tuple[SampledRow, ...]:
    """Return rows with context and supervised text: rendered, or as they are without the base's template."""
    if rendering is not None:
        parts = ("side", "row_id", "read", "supervised", "supervised_tokens")
        return tuple(SampledRow(*(row[part] for part in parts)) for row in read_json(rendering / "sample.json"))
    order = rows.kept.select("row_id", size=CHARACTERS).sort("size", "row_id").collect()
    places = sorted({round(step * (order.height - 1) / max(1, SAMPLES - 1)) for step in range(SAMPLES)})
    picked = order[places].lazy().join(rows.kept, on="row_id", how="left", maintain_order="left").collect()
    return tuple(_sampled(**row) for row in picked.drop("size").to_dicts())


def _sampled(row_id: int, history: list[str], prompt: str, completion: str, side: str) -> SampledRow:
    return SampledRow(side, row_id, redacted("\n".join([*history, prompt])), redacted(completion), None)


def lengths_of(rows: Rows, rendering: Path | None) -> dict[str, list[int]]:
    """Return each side's row lengths: tokens if the rows were rendered, otherwise characters."""
    if rendering is None:
        table = rows.kept.select("side", size=CHARACTERS.cast(pl.Int64)).collect()
    else:
        tokens = pl.col("prompt_tokens") + pl.col("answer_tokens")
        table = pl.read_parquet(rendering / "lengths.parquet").select("side", size=tokens)
    return {side: table.filter(pl.col("side") == side)["size"].to_list() for side in SIDES}
