"""Files behind the rows: named when they are missing, read once, and what is sealed of them."""

from __future__ import annotations

import json
import os
import sqlite3

import pytest

from schemas.errors import ConfigRefused, TuneworthyError
from tasks.data.locating import locate_data
from tasks.data.task import validate_data
from tasks.reuse.store import ArtifactStore, sha256_of
from tests.data.conftest import Room, sound_rows


def test_every_missing_or_unreadable_file_is_named_at_once(room: Room) -> None:
    room.write("x", "docs/a.pptx")
    config = room.config(
        {"answer": {"format": "sql", "database": "none.sqlite"}, "metric": "sql_execution"},
        source="none.jsonl",
        corpus="docs/*",
    )
    with pytest.raises(ConfigRefused) as refused:
        locate_data(config, room.workdir.store)
    for part in (
        "data.source: no file matches 'none.jsonl'",
        "data.corpus: a.pptx is not a supported kind",
        "task.answer.database: no file matches 'none.sqlite'",
    ):
        assert part in str(refused.value)


def test_a_database_with_changes_outside_its_file_is_refused(room: Room) -> None:
    room.write(sound_rows(3))
    database = sqlite3.connect(room.folder / "d.sqlite")
    database.executescript("pragma journal_mode = wal; create table t(a); insert into t values (1);")
    config = room.config({"answer": {"format": "sql", "database": "d.sqlite"}})
    with pytest.raises(ConfigRefused, match="wal_checkpoint"):
        locate_data(config, room.workdir.store)
    database.close()


def test_a_source_that_changed_since_it_was_located_is_an_error(room: Room) -> None:
    room.write(sound_rows(60))
    config = room.config()
    sources = locate_data(config, room.workdir.store)
    room.write(sound_rows(61))
    with pytest.raises(TuneworthyError, match="was changed or removed"):
        validate_data.function(config.task, config.data, config.seed, sources, workdir=room.workdir)


def test_an_unchanged_source_is_not_read_again_and_a_changed_one_is_read_once(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    monkeypatch.setattr("tasks.reuse.store.sha256_of", lambda path: (read.append(path.name), sha256_of(path))[1])
    path = room.write(sound_rows(60))
    first = locate_data(room.config(), room.workdir.store).rows[0].digest
    again = locate_data(room.config(), ArtifactStore(room.workdir.store.root)).rows[0].digest
    assert (read, again) == (["rows.jsonl"], first)
    stat = path.stat()
    path.write_bytes(path.read_bytes().replace(b"answer 1", b"answer 2"))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as long, and as old by its own account
    assert locate_data(room.config(), room.workdir.store).rows[0].digest != first
    assert read == ["rows.jsonl", "rows.jsonl"]


def test_the_contract_file_is_sealed_with_the_rows(room: Room) -> None:
    room.write(json.dumps({"type": "object", "required": ["a"]}), "s.json")
    rows = [{"prompt": f"p{n}", "completion": json.dumps({"a": n})} for n in range(120)]
    room.write([*rows, {"prompt": "p", "completion": "{}"}])
    data = room.validate({"answer": {"format": "json", "json_schema": "s.json"}, "metric": "json_fields"})
    assert data.reasons == {"answer_breaks_schema": 1}
    assert (room.workdir.out / "answer.schema.json").read_bytes() == (room.folder / "s.json").read_bytes()


def test_a_database_that_only_may_be_read_is_queried_all_the_same(room: Room) -> None:
    with sqlite3.connect(room.folder / "d.sqlite") as database:
        database.execute("create table t as select 'x' as name")
    database.close()
    room.write(
        [{"prompt": f"row {n}?", "completion": f"SELECT name, {n} FROM t"} for n in range(120)]
        + [{"prompt": "none?", "completion": "DELETE FROM t"}]
    )
    (room.folder / "d.sqlite").chmod(0o444)
    room.folder.chmod(0o555)
    try:
        data = room.validate({"answer": {"format": "sql", "database": "d.sqlite"}, "metric": "sql_execution"})
    finally:
        room.folder.chmod(0o755)
    assert data.reasons == {"answer_does_not_run": 1}
