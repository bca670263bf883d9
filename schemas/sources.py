"""What a run reads from outside the store, by content: rows, documents, checks, base models, benchmarks."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class SourceFile(BaseModel):
    """A file outside the store, by content. Its path is for people only and never enters a key."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    path: str
    digest: str
    suffix: str


class Sources(BaseModel):
    """The files that a run reads: rows, documents, the file of its answer contract (JSON Schema or database), and the
    team's own checks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    rows: tuple[SourceFile, ...]
    corpus: tuple[SourceFile, ...] = ()
    answer: SourceFile | None = None
    checks: SourceFile | None = None


class BaseSource(BaseModel):
    """A base model outside the store: its files by content, and the name by which adapters refer to it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    revision: str | None = None
    files: tuple[SourceFile, ...]


class BenchmarkSources(BaseModel):
    """What a benchmark reads: local task files, their code and data by content; lm-eval's own tasks by name, their hub
    data by version.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    names: tuple[str, ...] = Field(description="Tasks and groups that the config names.")
    files: tuple[SourceFile, ...] = Field((), description="Task files, the code beside them, and their data.")
    packaged: tuple[str, ...] = Field(
        (), description="Tasks and groups of lm-eval's own library that the names refer to."
    )
    hub: dict[str, str] = Field(default_factory=dict, description="Dataset on the hub -> version.")
    neutral: SourceFile | None = Field(None, description="Neutral texts, as JSON lines.")
