"""What a run reads from outside the store, by content: rows, documents, checks, base models, benchmarks."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class SourceFile(BaseModel):
    """A file outside the store, by content. Its path is for people only and never enters a key."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    path: str
    digest: str
    suffix: str
    separator: str | None = Field(None, description="Between the fields of a CSV file; None: told from its lines.")
    encoding: str | None = Field(None, description="Of a text file; None: UTF-8.")


class Sources(BaseModel):
    """The files that a run reads: rows, rows that are held out, answers in a file
    of their own, documents, the file of its answer contract (JSON Schema or database), and the
    team's own checks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    rows: tuple[SourceFile, ...]
    held_out: tuple[SourceFile, ...] = ()
    completions: tuple[SourceFile, ...] = ()
    corpus: tuple[SourceFile, ...] = ()
    answer: SourceFile | None = None
    checks: SourceFile | None = None

    @property
    def every_row(self) -> tuple[SourceFile, ...]:
        """The files of all rows, in the order in which they are read and numbered."""
        return (*self.rows, *self.held_out)

    @property
    def every_file(self) -> tuple[SourceFile, ...]:
        """All files, which have to stay as they are while a run reads them."""
        return (*self.every_row, *self.completions, *self.corpus, *filter(None, (self.answer, self.checks)))


class BaseSource(BaseModel):
    """A base model outside the store: its files by content, the name that adapters refer to, and base.thinking."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    revision: str | None = None
    files: tuple[SourceFile, ...]
    chat_template: SourceFile | None = Field(None, description="Takes the place of the base's own template.")
    thinking: str = "off"


class BenchmarkSources(BaseModel):
    """What a benchmark reads: local task files, code and data by content; lm-eval's tasks by name and version."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    names: tuple[str, ...] = Field(description="Tasks and groups that the config names.")
    files: tuple[SourceFile, ...] = Field((), description="Task files, the code beside them, and their data.")
    packaged: tuple[str, ...] = Field(
        (), description="Tasks and groups of lm-eval's own library that the names refer to."
    )
    hub: dict[str, str] = Field(default_factory=dict, description="Dataset on the hub -> version.")
    neutral: SourceFile | None = Field(None, description="Neutral texts, as JSON lines.")
