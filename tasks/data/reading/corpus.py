"""Documents for the retrieval arms: one per file, or JSON Lines with a `text`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from schemas.errors import DatasetRefused
from tasks.answers.contract import Breach
from tasks.data.reading.documents import read_document
from tasks.data.reading.records import read_records

if TYPE_CHECKING:
    from schemas.sources import SourceFile

LINES = (".jsonl", ".ndjson", ".jsonl.gz", ".jsonl.zst")
NAMES = ("document", "id", "title")
SCHEMA = {"document": pl.String, "text": pl.String, "metadata": pl.String}


def read_corpus(files: Sequence[SourceFile], refuse_above: float = 0.0) -> tuple[pl.DataFrame, list[str]]:
    """Return the documents with the columns document, text and metadata (a JSON object), and what could not be read.

    A file is one document, named by its path below the folder that all share. Each line of a .jsonl file is one: its
    `text`, named by `document`, `id` or `title`, otherwise by file and line; its other fields are metadata.

    Args:
        files: in this order.
        refuse_above: share of documents that may be unreadable or empty.

    Raises:
        DatasetRefused: more are, or several share a name; the message names them.
    """
    problems: list[str] = []
    shared = Path(os.path.commonpath([Path(file.path).parent for file in files]))
    documents = [row for file in files for row in _documents(Path(file.path), shared, file.suffix, problems)]
    names = pl.Series([name for name, *_ in documents], dtype=pl.String)
    twice = [
        f"{name}: several documents have this name" for name in sorted(names.filter(names.is_duplicated()).unique())
    ]
    if twice or not documents or len(problems) > refuse_above * (len(problems) + len(documents)):
        named = [*problems, *twice]
        raise DatasetRefused("\n  ".join([f"data.corpus: {len(named)} documents cannot be used:", *named[:20]]))
    return pl.DataFrame(documents, schema=SCHEMA, orient="row"), problems


def _documents(path: Path, shared: Path, suffix: str, problems: list[str]) -> Iterator[tuple[str, str, str]]:
    file = path.relative_to(shared).as_posix()
    for name, found in _lines(path, file, suffix) if suffix in LINES else [(file, read_document(path, suffix))]:
        if isinstance(found, Breach):
            problems.append(f"{name}: {found.detail}")
        elif not found[0].strip() or "\0" in found[0]:
            problems.append(f"{name}: {'contains a NUL byte' if found[0].strip() else 'is empty'}")
        else:
            yield name, found[0], json.dumps(found[1], ensure_ascii=False, default=str)


def _lines(path: Path, name: str, suffix: str) -> Iterator[tuple[str, tuple[str, dict[str, str]] | Breach]]:
    for number, record in read_records(path, suffix):
        place = f"{name}:{number}"
        if isinstance(record, Breach):
            yield place, record
        elif not isinstance(record.get("text"), str):
            yield place, Breach("missing_field", "has no text in 'text'")
        else:
            keys = (key for key in NAMES if isinstance(record.get(key), str | int) and str(record[key]).strip())
            named = next(keys, None)
            metadata = {key: value for key, value in record.items() if key not in ("text", named)}
            yield str(record[named]) if named else place, (record["text"], metadata)
