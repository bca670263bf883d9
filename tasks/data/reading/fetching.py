"""Rows from a database or the hub, fetched into a JSON Lines file in the store: from then on they are like any other
rows.

A file's digest shows whether it changed. For a database only the rows themselves can show that: a count, a timestamp or
a trigger would miss an update or need rights on the table. So every run and every plan executes the query again, and
the same rows, in whatever order the database returns them, give the same file: the stages that depend on it are
cached. The password is only added to the connection and is in no file, key, log or message.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson

from schemas.errors import ConfigRefused, DatasetMissing, DatasetRefused, LibraryMissing
from tasks.reuse.sources import source_file

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine

    from schemas.sections.data import DataConfig
    from schemas.sources import SourceFile
    from tasks.reuse.store import ArtifactStore

CHUNK = 10_000  # rows that a driver returns at once
RUN = 200_000  # rows sorted in memory; more are sorted in runs on disk


def fetch_query(data: DataConfig, folder: Path, store: ArtifactStore, password: str | None) -> SourceFile:
    """Query the database of `data.source` and return the rows as a file, in an order that depends only on them.

    Args:
        data: the config's section; `query` is set.
        folder: that a relative SQLite path starts from.
        store: whose folder `fetched` receives the file.
        password: of the database, or None.

    Raises:
        ConfigRefused: the URL or the query cannot be used.
        LibraryMissing: the database's driver is not installed.
        DatasetMissing: the database is missing or refuses the connection.
        DatasetRefused: its rows cannot be read.
    """
    engine = _engine(data.source, folder, password)
    try:
        with closing(_connected(engine, password)) as connection:
            rows = _queried(connection, data.query or "", password)
            return kept_rows(
                in_order(map(as_line, rows), store), f"{data.source}\n{data.query}", _database_name(engine.url), store
            )
    finally:
        engine.dispose()


def fetched_before(identity: str, name: str, store: ArtifactStore) -> SourceFile | None:
    """Return the file of a source that cannot change, if it has been fetched already."""
    path = _place(identity, store) / f"{name}.jsonl"
    return source_file(path, store) if path.is_file() else None


def _place(identity: str, store: ArtifactStore) -> Path:
    return store.folder("fetched", hashlib.sha256(identity.encode()).hexdigest()[:16])


def kept_rows(lines: Iterable[bytes], identity: str, name: str, store: ArtifactStore) -> SourceFile:
    """Write lines to the source's file in the store and return it; an unchanged file is not touched."""
    path, digest = _place(identity, store) / f"{name}.jsonl", hashlib.sha256()
    with store.writing(), tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as stream:
        try:
            for line in lines:
                digest.update(line)
                stream.write(line)
            stream.close()
            if not path.is_file() or store.file_digest(path) != digest.hexdigest():
                Path(stream.name).replace(path)
        finally:
            Path(stream.name).unlink(missing_ok=True)
    return source_file(path, store)


def as_line(row: dict[str, Any]) -> bytes:
    """Return a row as one JSON line; a value that JSON cannot represent is written as text, bytes as an object."""
    try:
        return orjson.dumps(
            row, default=_plain, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS
        )
    except TypeError:  # an integer of more than 64 bits, a lone surrogate
        return (json.dumps(row, default=_plain, sort_keys=True) + "\n").encode()


def _plain(value: object) -> object:
    return {"bytes": len(value)} if isinstance(value, bytes | bytearray | memoryview) else str(value)


def in_order(lines: Iterator[bytes], store: ArtifactStore) -> Iterator[bytes]:
    """Yield the lines sorted, by an external merge sort, so that memory does not grow with the rows."""
    with ExitStack() as stack:
        runs: list[Iterable[bytes]] = []
        while run := sorted(islice(lines, RUN)):
            if len(run) < RUN and not runs:
                yield from run
                return
            stream = stack.enter_context(tempfile.TemporaryFile(dir=store.folder("fetched")))
            stream.writelines(run)
            stream.seek(0)
            runs.append(stream)
        yield from heapq.merge(*runs)


def _engine(source: str, folder: Path, password: str | None) -> Engine:
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    try:
        url = make_url(source)
        if url.get_backend_name() == "sqlite":
            url = _read_only_file(url, folder)
        return create_engine(url if password is None else url.set(password=password))
    except (ArgumentError, NoSuchModuleError, ValueError) as fault:
        reason = _first_line(fault, password)
        raise ConfigRefused(
            f"data.source: {source} is not a database URL that SQLAlchemy knows ({reason}). Write "
            "dialect://user@host/database."
        ) from None
    except ImportError as fault:
        raise LibraryMissing(
            f"data.source: {source} needs the driver {fault.name}, which is not installed. Install it with pip."
        ) from None


def _read_only_file(url: URL, folder: Path) -> URL:
    """Return a URL that opens the SQLite file read-only; otherwise a missing file would be created."""
    path = folder / Path(url.database or "").expanduser()
    if not path.is_file():
        raise DatasetMissing(
            f"data.source: there is no SQLite file {path.absolute()}. Write sqlite:///PATH, relative to the config "
            "file, or sqlite:////PATH."
        )
    return url.set(database=f"file:{quote(str(path.absolute()))}", query={"mode": "ro", "uri": "true"})


def _connected(engine: Engine, password: str | None) -> Connection:
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return engine.connect().execution_options(stream_results=True, yield_per=CHUNK, no_parameters=True)
    except (SQLAlchemyError, OSError) as fault:
        step = "Check host, database and user, and data.password (env:NAME or prefect:NAME)."
        raise DatasetMissing(
            f"data.source: {engine.url} refuses the connection: {_first_line(fault, password)}. {step}"
        ) from None


def _queried(connection: Connection, query: str, password: str | None) -> Iterator[dict[str, Any]]:
    """Yield the rows of a query as column -> value; whatever it changed is rolled back, as nothing is committed."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        result = connection.exec_driver_sql(query)
    except SQLAlchemyError as fault:
        raise ConfigRefused(
            f"data.query: the database rejects it: {_first_line(fault, password)}. Fix the query."
        ) from None
    names = list(result.keys()) if result.returns_rows else []
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not names:
        repeated = f"returns column {', '.join(twice)} more than once; rename with AS"
        raise ConfigRefused(f"data.query: {repeated if twice else 'returns no rows'}.")
    try:
        yield from (dict(zip(names, row, strict=True)) for row in result)
    except (SQLAlchemyError, UnicodeDecodeError) as fault:
        raise DatasetRefused(f"data.query: a row cannot be read: {_first_line(fault, password)}.") from None


def _first_line(fault: Exception, password: str | None) -> str:
    """Return the first line of a database's message without the password."""
    line = (str(getattr(fault, "orig", None) or fault).strip().splitlines() or [type(fault).__name__])[0].rstrip(".")[
        :300
    ]
    for secret in {password, quote(password, safe="")} if password else set():
        line = line.replace(secret, "***")
    return line


def _database_name(url: URL) -> str:
    name = Path((url.database or "").removeprefix("file:")).stem
    return re.sub(r"[^\w.-]+", "-", name) or "rows"
