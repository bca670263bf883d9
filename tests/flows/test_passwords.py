"""The password of a database is added to the connection and seen nowhere."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
import yaml
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from flows.command_line.main import main

PASSWORD = "s3 cr%t/Tür"


class Guarded(SQLiteDialect_pysqlite):
    """Stands for a server with a password: an SQLite file that opens for one password only, and repeats a wrong one in
    its message.
    """

    name = "guarded"
    supports_statement_cache = True

    def create_connect_args(self, url: sqlalchemy.URL) -> Any:
        return [url.database], {"user": url.username, "password": url.password}

    def connect(self, *arguments: Any, user: str, password: str) -> Any:
        if password != PASSWORD:
            raise sqlite3.OperationalError(f"user {user} with password {password} is not let in")
        return super().connect(*arguments)


registry.register("guarded", __name__, "Guarded")


@pytest.fixture
def guarded(small: Path) -> Path:
    """A run whose rows are in a database with a password."""
    config = yaml.safe_load(small.read_text())
    path = small.parent / "tickets.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("create table tickets (ask text, answer text)")
        database.executemany(
            "insert into tickets values (?, 'red')", [(f"Number {n} is painted red",) for n in range(60)]
        )
    database.close()
    config["data"] = {
        "source": f"guarded://jo@/{path}",
        "query": "select ask as prompt, answer as completion from tickets",
        "password": "env:TICKETS_PASSWORD",
    }
    small.write_text(yaml.safe_dump(config))
    return small


@pytest.mark.slow
def test_a_password_is_in_no_file_no_output_and_no_key(
    guarded: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("TICKETS_PASSWORD", PASSWORD)
    assert main(["validate", str(guarded)]) == 0
    assert main(["plan", str(guarded)]) == 0
    monkeypatch.setenv("TICKETS_PASSWORD", "wr0ng/Tür")
    assert main(["validate", str(guarded)]) == 5
    heard = capsys.readouterr()
    assert "guarded://jo:***@/" in heard.err
    assert "user jo with password *** is not let in" in heard.err
    texts = [
        heard.out,
        heard.err,
        *(path.read_bytes().decode(errors="replace") for path in tmp_path.rglob("*") if path.is_file()),
    ]
    assert not [text for text in texts for password in (PASSWORD, "wr0ng", "s3%20cr", "s3+cr") if password in text]


def test_a_password_that_is_not_there_is_said(guarded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(guarded)]) == 5
    assert "data.password: the environment variable TICKETS_PASSWORD is not set here" in capsys.readouterr().err
