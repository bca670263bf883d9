"""A data set in a folder, and the data stage run on it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from schemas.artifacts import DataArtifact
from schemas.config import RunConfig
from tasks.data.locating import locate_data
from tasks.data.task import validate_data
from tasks.reuse.progress import Reporter
from tasks.reuse.stage import WorkDirectory
from tasks.reuse.store import ArtifactStore


class Listener(Reporter):
    """Keeps the lines that are said."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.tables: dict[str, list[dict[str, Any]]] = {}

    def say(self, line: str) -> None:
        """Keep a line."""
        self.lines.append(line)

    def table(self, key: str, rows: list[dict[str, Any]], description: str) -> None:
        """Keep the rows."""
        self.tables[key] = rows


@dataclass
class Room:
    """The data room of one test: files in `folder`, the stage's place of work in `workdir`."""

    folder: Path
    workdir: WorkDirectory
    listener: Listener = field(default_factory=Listener)

    def config(self, task: dict[str, Any] | None = None, **data: Any) -> RunConfig:
        """Return a run's config with these settings of the task and the data."""
        sections = {"task": {"instruction": "Answer.", **(task or {})}, "data": {"source": "rows.jsonl", **data}}
        return RunConfig.model_validate(
            {"name": "test", "folder": str(self.folder), "base": {"model": "m"}, "registry": {"model": "m"}, **sections}
        )

    def write(self, content: str | bytes | Sequence[Any], name: str = "rows.jsonl") -> Path:
        """Write a file; a sequence is written as lines of JSON."""
        if not isinstance(content, str | bytes):
            content = "".join(json.dumps(row) + "\n" for row in content)
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def validate(self, task: dict[str, Any] | None = None, **data: Any) -> DataArtifact:
        """Run the stage's function; its files lie in `workdir.out`."""
        config = self.config(task, **data)
        return validate_data.function(
            config.task, config.data, config.seed, locate_data(config, self.workdir.store), workdir=self.workdir
        )

    def table(self, name: str) -> pl.DataFrame:
        """Return a parquet file of the stage."""
        return pl.read_parquet(self.workdir.out / f"{name}.parquet")

    def report(self) -> Any:
        """Return report.json."""
        return json.loads((self.workdir.out / "report.json").read_text())


@pytest.fixture
def make_room(tmp_path: Path, store: ArtifactStore) -> Callable[[str], Room]:
    """Make a data room by name; several may share a test."""

    def make(name: str) -> Room:
        listener = Listener()
        (tmp_path / name).mkdir()
        store.folder("work", name, "out")
        return Room(tmp_path / name, WorkDirectory(store.folder("work", name), store, listener), listener)

    return make


@pytest.fixture
def room(make_room: Callable[[str], Room]) -> Room:
    """One data room."""
    return make_room("room")


def sound_rows(count: int, groups: int | None = None) -> list[dict[str, str]]:
    """Return rows that break nothing."""
    return [
        {"prompt": f"question number {n}?", "completion": f"answer {n}", "group": f"g{n % (groups or count)}"}
        for n in range(count)
    ]
