"""Documents for the retrieval arms: one per file, or JSON Lines with a `text`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from schemas.errors import DatasetRefused
from tasks.answers.contract import Breach
from tasks.data.reading.records import read_records

if TYPE_CHECKING:
    from schemas.sources import SourceFile

WHOLE = (".md", ".txt")
LINES = (".jsonl", ".ndjson", ".jsonl.gz", ".jsonl.zst")
NAMES = ("document", "id", "title")
SCHEMA = {"document": pl.String, "text": pl.String}


def read_corpus(files: Iterable[SourceFile]) -> pl.DataFrame:
    """Return the documents with the columns document and text.

    A .md or .txt file is one document, named after the file. Each line of a .jsonl file is one: its `text`, named by
    `document`, `id` or `title`, otherwise by file and line.

    Raises:
        DatasetRefused: documents cannot be read or are empty, or share a name; the message names them all.
    """
    problems: list[str] = []
    documents = [pair for file in files for pair in _documents(Path(file.path), file.suffix, problems)]
    names = pl.Series([name for name, _ in documents], dtype=pl.String)
    problems += [
        f"{name}: several documents have this name" for name in sorted(names.filter(names.is_duplicated()).unique())
    ]
    if problems:
        raise DatasetRefused("\n  ".join([f"data.corpus: {len(problems)} documents cannot be used:", *problems[:20]]))
    return pl.DataFrame(documents, schema=SCHEMA, orient="row")


def _documents(path: Path, suffix: str, problems: list[str]) -> Iterator[tuple[str, str]]:
    found = _lines(path, suffix) if suffix in LINES else [(path.name, _whole(path))]
    for name, text in found:
        if isinstance(text, Breach):
            problems.append(f"{name}: {text.detail}")
        elif not text.strip() or "\0" in text:
            problems.append(f"{name}: {'contains a NUL byte' if text.strip() else 'is empty'}")
        else:
            yield name, text


def _whole(path: Path) -> str | Breach:
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        return Breach("wrong_encoding", f"byte 0x{content[fault.start]:02X} at offset {fault.start} is not UTF-8")


def _lines(path: Path, suffix: str) -> Iterator[tuple[str, str | Breach]]:
    for number, record in read_records(path, suffix):
        place = f"{path.name}:{number}"
        if isinstance(record, Breach):
            yield place, record
        elif not isinstance(record.get("text"), str):
            yield place, Breach("missing_field", "has no text in 'text'")
        else:
            named = next(
                (record[key] for key in NAMES if isinstance(record.get(key), str | int) and str(record[key]).strip()),
                place,
            )
            yield str(named), record["text"]
