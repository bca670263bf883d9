"""Rows asked of a database: the same rows are the same file, nothing is changed there. Its password:
tests/flows/test_passwords.py.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.errors import ConfigRefused, DatasetMissing, LibraryMissing
from schemas.sections.data import DataConfig
from tasks.data.locating import locate_data
from tasks.data.reading import fetching
from tasks.data.reading.fetching import as_line, in_order
from tasks.data.task import validate_data
from tasks.reuse.current_store import current_store
from tasks.reuse.store import ArtifactStore
from tests.data.conftest import Room

QUERY = "select id, ask as prompt, answer as completion from tickets"
ROWS = [(n, f"question number {n}?", f"answer {n}") for n in range(60)]


def write(path: Path, rows: Iterable[tuple[Any, ...]] = ROWS) -> Path:
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as database:
        database.execute("create table tickets (id integer, ask text, answer text)")
        database.executemany("insert into tickets values (?, ?, ?)", rows)
    database.close()
    return path


@pytest.fixture
def tickets(room: Room) -> Path:
    return write(room.folder / "tickets.sqlite")


def located(
    room: Room, query: str = QUERY, source: str = "sqlite:///tickets.sqlite", password: str | None = None
) -> Any:
    return locate_data(room.config(source=source, query=query), room.workdir.store, password).rows[0]


def test_the_rows_of_a_query_are_rows_like_those_of_a_file(room: Room, tickets: Path) -> None:
    made = room.validate(source="sqlite:///tickets.sqlite", query=QUERY)
    assert made.train_rows + made.held_out_rows == 60
    assert set(room.table("train")["completion"]) < {answer for _, _, answer in ROWS}
    assert any("tickets" in line for line in room.listener.lines)


def test_an_unchanged_answer_is_a_hit_in_whatever_order_it_comes_and_a_changed_one_is_not(
    room: Room, tickets: Path
) -> None:
    def validated() -> str:
        config = room.config(source="sqlite:///tickets.sqlite", query=QUERY)
        return validate_data(config.task, config.data, config.seed, locate_data(config, current_store())).digest

    first = validated()
    (record,) = (room.workdir.store.root / "records" / "validate_data").iterdir()
    write(tickets, ROWS[::-1])
    assert validated() == first
    assert list((room.workdir.store.root / "records" / "validate_data").iterdir()) == [record]
    write(tickets, [*ROWS[:-1], (59, "question number 59?", "another")])
    assert validated() != first
    assert len(list((room.workdir.store.root / "fetched").glob("*/*"))) == 1


def test_an_unchanged_answer_leaves_the_file_untouched(room: Room, tickets: Path) -> None:
    path = Path(located(room).path)
    before = path.stat().st_mtime_ns
    assert located(room).path == str(path)
    assert path.stat().st_mtime_ns == before


def test_a_query_changes_nothing_in_the_database(room: Room, tickets: Path) -> None:
    before = tickets.read_bytes()
    with pytest.raises(
        ConfigRefused, match=r"data\.query: the database rejects it: attempt to write a readonly database"
    ):
        located(room, "with gone as (select 1) delete from tickets")
    assert tickets.read_bytes() == before
    for query in ("delete from tickets", "drop table tickets", "pragma journal_mode = wal"):
        with pytest.raises(ValueError, match="query has to begin with SELECT or WITH"):
            room.config(source="sqlite:///tickets.sqlite", query=query)


@pytest.mark.parametrize("path", ["none.sqlite", "none/none.sqlite", ""])
def test_a_database_that_is_missing_is_said_and_not_made(room: Room, path: str) -> None:
    with pytest.raises(DatasetMissing, match="there is no SQLite file"):
        located(room, source=f"sqlite:///{path}")
    assert not (room.folder / "none.sqlite").exists()


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("select * from nowhere", "no such table: nowhere"),
        ("select ask from", "incomplete input"),
        ("select ask, answer, ask from tickets", "returns column ask more than once; rename with AS"),
        ("select 1; select 2", "You can only execute one statement at a time"),
    ],
)
def test_a_query_that_cannot_be_asked_is_refused_in_words(room: Room, tickets: Path, query: str, words: str) -> None:
    with pytest.raises(ConfigRefused) as refused:
        located(room, query)
    assert words in str(refused.value)


def test_a_file_that_is_no_database_is_said(room: Room) -> None:
    room.write("no database at all, but a text that is long enough to be looked at" * 20, "tickets.sqlite")
    with pytest.raises(ConfigRefused, match="file is not a database"):
        located(room)


def test_a_database_that_only_may_be_read_is_read(room: Room, tickets: Path) -> None:
    tickets.chmod(0o444)
    room.folder.chmod(0o555)
    try:
        assert len(Path(located(room).path).read_text().splitlines()) == 60
    finally:
        room.folder.chmod(0o755)


def test_what_is_not_installed_or_not_known_is_said(room: Room) -> None:
    with pytest.raises(ConfigRefused, match="is not a database URL that SQLAlchemy knows"):
        located(room, source="nosuch://user@host/db")
    with pytest.raises(LibraryMissing, match="needs the driver psycopg2, which is not installed"):
        located(room, source="postgresql+psycopg2://user@host/db")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("postgresql://jo:hunter2@host/db", "source contains a password"),
        ("postgresql://jo:hunter2/@host/db", "source contains a password"),
        ("postgresql://jo@host/db?password=hunter2", "source contains a password"),
        ("mssql+pyodbc:///?odbc_connect=DRIVER%3D1%3BPWD%3Dhunter2", "source contains a password"),
        ("snowflake://jo@host/db?role=x&token=hunter2", "source contains a password"),
    ],
)
def test_a_password_in_the_url_is_refused_and_not_repeated(room: Room, source: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refused:
        room.config(source=source, query=QUERY)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"password": "hunter2"}, "is never the password itself"),
        ({"query": None}, "so query is needed"),
        ({"source": "rows.jsonl"}, "query goes with a database, and source names files"),
        (
            {"source": "rows.jsonl", "query": None, "password": "env:A"},
            "password goes with a database, and source names files",
        ),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as refused:
        DataConfig.model_validate({"source": "sqlite:///a.sqlite", "query": "select 1", **change})
    assert "hunter2" not in str(refused.value)


def test_a_urls_port_path_and_parameters_are_no_password() -> None:
    for source in (
        "postgresql://jo@host:5432/db?sslmode=require",
        "postgresql://host:5432/db",
        "sqlite:////tmp/a:b.sqlite",
    ):
        assert DataConfig(source=source, query="(select 1)").source == source


def test_a_conversation_may_stand_in_a_column_as_json_text(room: Room, tickets: Path) -> None:
    asked, answered = "'role', 'user', 'content', ask", "'role', 'assistant', 'content', answer"
    turns = f"json_array(json_object({asked}), json_object({answered}))"
    assert (
        room.validate(source="sqlite:///tickets.sqlite", query=f"select {turns} as messages from tickets").refused_rows
        == 0
    )


def test_values_that_json_has_no_word_for_become_text_or_are_told_apart_from_it() -> None:
    line = as_line({"b": Decimal("1.50"), "a": b"\x00\xff", "c": None, "d": 2**70, "e": "\ud800"})
    assert line == b'{"a": {"bytes": 2}, "b": "1.50", "c": null, "d": 1180591620717411303424, "e": "\\ud800"}\n'
    assert as_line({"b": 1, "a": "ü"}) == '{"a":"ü","b":1}\n'.encode()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.integers(0, 50).map(lambda n: b"%d\n" % n)), run=st.integers(1, 8))
def test_lines_come_sorted_whether_they_fit_in_memory_or_not(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch, rows: list[bytes], run: int
) -> None:
    monkeypatch.setattr(fetching, "RUN", run)
    assert list(in_order(iter(rows), store)) == sorted(rows)
