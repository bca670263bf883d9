"""The rows that a draft is made from: the files that a path, folder or glob names, and their first records."""

from __future__ import annotations

import glob
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from schemas.errors import ConfigRefused, DatasetRefused
from tasks.answers.contract import Breach
from tasks.data.reading.records import READ, read_records
from tasks.reuse.sources import suffix_of

MOST = 100_000  # records that are looked at
WAY_OUT = (
    'Write the rows as JSON Lines, such as {"prompt": "the request", "completion": "the answer wanted"}, one a line, '
    "answers that are JSON as text too, and name that file."
)


@dataclass(frozen=True)
class Sample:
    """The first records of some files.

    Attributes:
        pattern: names the files as data.source does.
        files: in the order in which a run reads them.
        records: those that are objects.
        unreadable: why a record is none -> how many.
        is_whole: whether no record was left out.
    """

    pattern: str
    files: list[Path]
    records: list[dict[str, Any]]
    unreadable: Counter[str]
    is_whole: bool


def read_sample(rows: str) -> Sample:
    """Return the records that a path, folder or glob names.

    Raises:
        ConfigRefused: no file is there, or none of a kind that is read.
        DatasetRefused: a file cannot be read as a whole, or there is no row.
    """
    pattern, files = _files(rows)
    every = (record for file in files for _, record in _records(file))
    found = list(islice(every, MOST))
    records = [record for record in found if isinstance(record, dict)]
    unreadable = Counter(record.detail for record in found if isinstance(record, Breach))
    if not records:
        told = "".join(f" {count:,} times: {detail}." for detail, count in unreadable.most_common(3))
        raise DatasetRefused(f"{rows} has no row that can be read.{told} {WAY_OUT}")
    return Sample(pattern, files, records, unreadable, next(every, None) is None)


def _records(file: Path) -> Any:
    try:
        yield from read_records(file, suffix_of(file))
    except DatasetRefused as fault:
        raise DatasetRefused(f"{fault} {WAY_OUT}") from fault


def _files(rows: str) -> tuple[str, list[Path]]:
    if "://" in rows:
        raise ConfigRefused(
            f"init looks at files, and {rows} names none. For a database or the hub start from configs/demo.yaml and "
            "set data.source (docs/config.md); or export some rows to a file and name that."
        )
    path = Path(rows).expanduser()
    if path.is_dir():
        return _folder(path)
    pattern = glob.escape(str(path)) if path.is_file() else str(path)
    files = sorted(Path(found) for found in glob.glob(pattern) if Path(found).is_file())  # noqa: PTH207 - may be absolute
    if not files:
        raise ConfigRefused(f"No file matches {rows!r} in {Path.cwd()}. Name a file, a folder or a glob.")
    other = sorted({file.name for file in files if suffix_of(file) not in READ})
    if other:
        raise ConfigRefused(
            f"{', '.join(other[:5])}: of no kind that is read; these are: {', '.join(READ)}. If requests and answers "
            f"stand in two files, line by line, put them together first (paste, or a few lines of Python). {WAY_OUT}"
        )
    return pattern, files


def _folder(folder: Path) -> tuple[str, list[Path]]:
    kinds = {suffix_of(file) for file in folder.iterdir() if file.is_file() and not file.name.startswith(".")}
    read = sorted(kinds & set(READ))
    if len(read) == 1:
        pattern = f"{glob.escape(str(folder))}/*{read[0]}"
        return pattern, sorted(folder.glob(f"*{read[0]}"))
    if read:
        choices = ", ".join(f"{folder}/*{kind}" for kind in read)
        raise ConfigRefused(f"Which files of {folder} are the rows? Name one of them, or all of a kind: {choices}.")
    raise ConfigRefused(f"{folder} has no file of a kind that is read; these are: {', '.join(READ)}.")
