"""From files to frames: every record becomes a row with a number and, if it cannot be read, the reason."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

from schemas.errors import DatasetRefused
from tasks.answers.contract import Breach
from tasks.data.layouts.conversations import is_conversation
from tasks.data.layouts.converting import UNREAD, Converter
from tasks.data.layouts.known_names import ANSWERS, REQUESTS
from tasks.data.layouts.layouts import detected, one_named
from tasks.data.layouts.ledger import Ledger
from tasks.data.layouts.values import LOSS
from tasks.data.reading.records import Form, Record, read_records
from tasks.data.reading.teaching import JUDGED, with_answer_column

if TYPE_CHECKING:
    from schemas.sections.data import DataConfig
    from schemas.sources import SourceFile

CHUNK = 50_000
UNWANTED = "unwanted_answer"
SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "row_id": pl.Int64,
    "file": pl.String,
    "line": pl.Int64,
    "history": pl.List(pl.String),
    "prompt": pl.String,
    "completion": pl.String,
    "group": pl.String,
    "given": pl.String,
    "system": pl.String,
    "reason": pl.String,
    "detail": pl.String,
    "own": pl.String,
    "extra": pl.String,
    "id": pl.UInt64,
    "held": pl.Boolean,
    "also": pl.List(pl.String),
    "tools": pl.String,
    "weight": pl.Float64,
    "rejected": pl.String,
}


class RecordChecks(Protocol):
    """Checks of whole records while they are read (tasks/data/checking/own_checks.py)."""

    @property
    def needed(self) -> dict[str, str]:
        """Setting -> column, for every required column of the records."""

    def failures(self, rows: pl.DataFrame, records: Sequence[Mapping[str, Any] | Breach]) -> pl.Series:
        """Return what each row fails, or null."""


@dataclass(frozen=True)
class ReadPiece:
    """Some of a file's rows with SCHEMA's columns, their layout, and the number of the file."""

    rows: pl.DataFrame
    layout: str
    file: int


@dataclass(frozen=True)
class Reading:
    """How rows are read: the config's section, the team's own checks, and the ledger of what became of every column."""

    data: DataConfig
    ledger: Ledger
    own: RecordChecks | None = None
    answers: tuple[SourceFile, ...] = ()

    @property
    def others(self) -> dict[str, str]:
        """Column -> setting, for every column that is read beside request and answer."""
        named = {"group": self.data.group, "id": self.data.id, "time": self.data.time}
        own = {column: f"own check {setting}" for setting, column in (self.own.needed if self.own else {}).items()}
        return {column: name for name, column in named.items() if column} | own


def read_rows(files: Iterable[SourceFile], how: Reading) -> Iterator[ReadPiece]:
    """Yield every row of the files, CHUNK at a time and at least one piece per file.

    `reason` and `detail` say why a row cannot be read, `own` which of the team's own checks it fails, `extra` which
    unusual keys it has; `id` is the fingerprint of data.id, `held` whether it comes after data.held_out_after,
    `also` further right answers. Rows are
    numbered across all files; in a single file the number is the record's own (tasks/data/reading/records.py).

    Raises:
        DatasetRefused: a file cannot be read at all, lacks a column in every row, or has no rows.
    """
    before = 0
    for number, file in enumerate(files):
        last = before
        for piece in _read_file(number, file, how, before):
            last = int(piece.rows["row_id"][-1])
            yield piece
        before = last
    how.ledger.refuse_unknown()


def _records(file: SourceFile, how: Reading) -> Iterator[Record]:
    data = how.data
    form = Form(file.separator, file.encoding, bool(how.answers) or data.teacher is not None, how.ledger.blank)
    records = read_records(Path(file.path), file.suffix, form)
    if data.teacher is not None:
        return with_answer_column(records, data)
    return _answered(records, file, how.answers[0], form, data.completion or "completion") if how.answers else records


def _answered(
    records: Iterator[Record], file: SourceFile, answers: SourceFile, form: Form, column: str
) -> Iterator[Record]:
    """Yield the records with their answers, which a file of their own has line by line."""
    lines = read_records(Path(answers.path), ".lines", form)
    for record, line in zip_longest(records, lines):
        if record is None or line is None:
            longer, other = (file, answers) if line is None else (answers, file)
            raise DatasetRefused(
                f"{Path(longer.path).name} has more lines than {Path(other.path).name}, so answers cannot be told "
                "line by line. Make them of one length."
            )
        number, content = record
        yield number, content if isinstance(content, Breach) else {**content, column: line[1]["prompt"]}  # type: ignore[index]


def _read_file(file_number: int, file: SourceFile, how: Reading, before: int) -> Iterator[ReadPiece]:
    path, data, own = Path(file.path), how.data, how.own
    records = _records(file, how)
    first = list(islice(records, JUDGED))
    judged = [record for _, record in first if isinstance(record, dict)]
    convert = Converter(detected(judged, data), data)
    columns = convert.settings | _named(data) | (own.needed if own else {})
    usual = _usual_keys(judged) | set(columns.values())
    every, seen, lost, is_empty = chain(first, records), dict[str, object](), False, not first
    while chunk := list(islice(every, CHUNK)):
        records_of = [record for _, record in chunk]
        for record in records_of:
            if isinstance(record, dict) and not record.keys() <= seen.keys():
                seen = record | seen
        frame = _frame(chunk, path.name, convert, data, before)
        lost = lost or frame["reason"].is_in([*LOSS]).any()
        how.ledger.note(records_of, convert, how.others)
        how.ledger.earlier_answers += int(frame["history"].list.len().sum()) // 2
        frame = frame.with_columns(own.failures(frame, records_of)) if own else frame
        frame = frame.with_columns(_extra_keys(records_of, usual, convert), _ids(records_of, data.id))
        yield ReadPiece(frame, convert.layout.in_words, file_number)
    if is_empty:
        raise DatasetRefused(f"{path.name} has no rows. A run needs rows with the columns {listed(columns.values())}.")
    if not lost:
        _refuse_missing(path, columns, seen)


def _named(data: DataConfig) -> dict[str, str]:
    named = (("group", data.group), ("id", data.id), ("time", data.time))
    return {f"data.{role}": column for role, column in named if column}


def _usual_keys(records: list[dict[str, Any]]) -> set[str]:
    counts = Counter(key for record in records for key in record)
    return {key for key, count in counts.items() if count * 2 >= len(records)}


def _extra_keys(records: list[dict[str, Any] | Breach], usual: set[str], convert: Converter) -> pl.Series:
    """Return the keys of each record that most records lack and nothing reads."""
    extra = [
        None
        if isinstance(record, Breach) or record.keys() <= usual
        else listed(sorted(name for name in record.keys() - usual if convert.uses(record)[name] == UNREAD)) or None
        for record in records
    ]
    return pl.Series("extra", extra, dtype=pl.String)


def _ids(records: list[dict[str, Any] | Breach], column: str | None) -> pl.Series:
    if column is None:
        return pl.Series("id", [None] * len(records), dtype=pl.UInt64)
    names = pl.Series(
        "id",
        [None if isinstance(record, Breach) else _group(record.get(column)) for record in records],
        dtype=pl.String,
    )
    return names.to_frame().select(pl.when(pl.col("id").is_not_null()).then(pl.col("id").hash(seed=3)))["id"]


def _refuse_missing(path: Path, columns: dict[str, str], seen: dict[str, object]) -> None:
    missing = [(role, column) for role, column in columns.items() if column not in seen]
    if missing and seen:
        lines = [f"{path.name} has no column {column!r} ({role}){nearest(column, seen)}" for role, column in missing]
        talks = [name for name, value in seen.items() if is_conversation(value)]
        turns = f" {talks[0]!r} holds turns of a conversation: name it in data.messages." if talks else ""
        asked, answered = one_named(seen, REQUESTS), one_named(seen, ANSWERS)
        if asked and not answered and not talks:
            turns = f" {asked!r} is a request without its answer, from which nothing can be learned or measured."
        elif answered and not asked and not talks:
            turns = f" {answered!r} is an answer without its request."
        text = " It holds request and answer in one text: write them as two columns." if list(seen) == ["text"] else ""
        raise DatasetRefused(
            "\n".join(
                [*lines, f"  Its columns: {listed(sorted(seen))}. Name the right one in the config.{turns}{text}"]
            )
        )


def nearest(column: str, seen: Iterable[str]) -> str:
    """Return a question that names the most similar of the columns, or the end of a sentence."""
    near = difflib.get_close_matches(column.lower(), [name.lower() for name in seen], n=1, cutoff=0.5)
    meant = next((name for name in sorted(seen) if near and name.lower() == near[0]), None)
    return f"; did you mean {meant!r}?" if meant else "."


def listed(names: Iterable[str]) -> str:
    """Return the first twenty names, and how many there are more."""
    every = list(names)
    return ", ".join(every[:20]) + (f", +{len(every) - 20}" if len(every) > 20 else "")


def _frame(chunk: list[Record], file: str, convert: Converter, data: DataConfig, before: int) -> pl.DataFrame:
    rows = [(before + number, file, number, *_row(record, convert, data)) for number, record in chunk]
    columns = zip(*rows, strict=True)
    frame = pl.DataFrame(
        [pl.Series(name, values, dtype=kind) for (name, kind), values in zip(SCHEMA.items(), columns, strict=True)]
    )
    # Building an empty list for each row would take longer than all the texts.
    return frame.with_columns(
        pl.col(name).fill_null(pl.lit([], dtype=kind)) for name, kind in SCHEMA.items() if isinstance(kind, pl.List)
    )


def _row(record: dict[str, Any] | Breach, convert: Converter, data: DataConfig) -> tuple[Any, ...]:
    turns = record if isinstance(record, Breach) else convert(record)
    if isinstance(turns, Breach):
        return None, None, None, None, None, None, turns.reason, turns.detail, *([None] * 8)
    named = _group(record.get(data.group)) if data.group and isinstance(record, dict) else None
    held = is_after(record.get(data.time), data.held_out_after) if data.time and isinstance(record, dict) else None
    broken: tuple[str | None, str | None] = (None, None)
    if data.time and held is None:
        broken = ("missing_time", f"{data.time!r} is no date or time, such as 2026-01-31")
    if not turns.is_wanted:
        broken = (UNWANTED, "its label says that the answer is not wanted")
    more = None if turns.weight == 1 else turns.weight, turns.rejected
    texts = turns.history or None, turns.prompt, turns.completion, named, turns.given, turns.system
    return *texts, *broken, None, None, None, held, turns.also or None, turns.tools, *more


def is_after(value: object, limit: str | None) -> bool | None:
    """Return whether a date or time (ISO 8601, or seconds since 1970) is at or after another; None if it is none."""
    found, bound = _moment(value), _moment(limit)
    return None if found is None or bound is None else found >= bound


def _moment(value: object) -> datetime | None:
    try:
        if isinstance(value, int | float) or (isinstance(value, str) and value.strip().isdecimal() and len(value) > 8):
            return datetime.fromtimestamp(float(value), UTC)
        moment = datetime.fromisoformat(str(value).strip())
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _group(value: object) -> str | None:
    """Return a group's name; numbers are names too, null and nested values are not."""
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int | float) else None
