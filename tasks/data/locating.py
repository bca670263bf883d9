"""The files of a run's rows, documents and answer contract, found and digested before anything starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.addresses import kind_of
from schemas.errors import ConfigRefused
from schemas.sources import SourceFile, Sources
from tasks.data.checking.personal_libraries import require_libraries
from tasks.reuse.sources import source_files

if TYPE_CHECKING:
    from schemas.config import RunConfig
    from schemas.sections.data import DataConfig
    from schemas.sections.task import TaskConfig
    from tasks.reuse.store import ArtifactStore

# What tasks.data.reading.records reads; repeated here, because that module imports what only a run needs.
LINES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
ROWS = (*LINES, ".parquet", ".arrow", ".xlsx", *(f"{kind}{packing}" for kind in LINES for packing in (".gz", ".zst")))
DOCUMENTS = (".md", ".txt", ".html", ".htm", ".pdf", ".docx", ".jsonl", ".ndjson", ".jsonl.gz", ".jsonl.zst")


STEPS = {
    (".xls", ".ods", ".xlsb", ".xlsm"): "Save the sheet as .xlsx or CSV UTF-8.",
    (".txt", ".text", ""): "If each line is a JSON object, name it .jsonl.",
    (".zip", ".tar", ".7z", ".rar"): "Unpack it first; of packed files, .gz and .zst are read.",
}


def _step(name: str) -> str:
    step = next((step for kinds, step in STEPS.items() if Path(name).suffix.lower() in kinds), "")
    return f" {step}" if step else ""


@dataclass
class Search:
    """Looks for files relative to one folder and collects the problems."""

    folder: Path
    store: ArtifactStore
    problems: list[str] = field(default_factory=list)

    def files(self, setting: str, pattern: str, kinds: tuple[str, ...] = ()) -> tuple[SourceFile, ...]:
        """Return the files that a path or glob names; any kind of file if `kinds` is empty."""
        try:
            found = source_files(setting, pattern, self.folder, self.store)
        except ConfigRefused as fault:
            self.problems.append(str(fault))
            return ()
        except (ValueError, NotImplementedError, OSError) as fault:  # an invalid pattern; a file that may not be read
            self.problems.append(f"{setting}: {pattern!r} cannot be read: {fault}.")
            return ()
        wrong = [Path(file.path).name for file in found if kinds and file.suffix not in kinds]
        self.problems += [
            f"{setting}: {name} is not a supported kind of file; supported are: {', '.join(kinds)}.{_step(name)}"
            for name in wrong
        ]
        return found

    def one_file(self, setting: str, pattern: str) -> SourceFile | None:
        """Return the one file that a path names."""
        found = self.files(setting, pattern)
        if len(found) > 1:
            self.problems.append(f"{setting}: {pattern!r} matches {len(found)} files; name one.")
        return found[0] if found else None


def locate_data(config: RunConfig, store: ArtifactStore, password: str | None = None) -> Sources:
    """Return the files that `data.source`, `data.corpus`, `data.checks_file` and the answer's contract name, relative
    to the config's folder.

    Rows in a database or on the hub are fetched into a file of the store (tasks/data/reading/fetching.py); `password`
    is the database's.

    Raises:
        ConfigRefused: files are missing or not of a supported kind; the message names every one.
        DatasetMissing: the rows are in a database or on the hub, which is unavailable.
        LibraryMissing: data.checks names personal data, and the libraries that detect it are not installed.
    """
    search = Search(Path(config.folder), store)
    rows = _rows(config.data, search, password)
    corpus = _documents(config.data.corpus, search) if config.data.corpus is not None else ()
    answer = _contract_file(config.task, search)
    held_out = (
        search.files("data.held_out_source", config.data.held_out_source, ROWS) if config.data.held_out_source else ()
    )
    form = {"separator": config.data.separator, "encoding": config.data.encoding}
    rows, held_out = (tuple(file.model_copy(update=form) for file in files) for files in (rows, held_out))
    checks = (
        search.one_file("data.checks_file", config.data.checks_file) if config.data.checks_file is not None else None
    )
    completions = _completions(config.data, search)
    if rows and config.decision.slices:
        from tasks.data.reading.slices import missing_columns

        search.problems += missing_columns(config.decision.slices, (*rows, *held_out))
    if search.problems:
        raise ConfigRefused("\n".join(search.problems))
    require_libraries(config.data.checks)
    return Sources(rows=rows, held_out=held_out, completions=completions, corpus=corpus, answer=answer, checks=checks)


def _documents(corpus: str, search: Search) -> tuple[SourceFile, ...]:
    """Return the files of a glob, or those of a folder that are of a kind that is read."""
    if not (search.folder / Path(corpus).expanduser()).is_dir():
        return search.files("data.corpus", corpus, DOCUMENTS)
    found = search.files("data.corpus", f"{corpus}/**/*")
    known = tuple(file for file in found if file.suffix in DOCUMENTS and not Path(file.path).name.startswith("."))
    if found and not known:
        search.problems.append(f"data.corpus: {corpus} has no document; read are {', '.join(DOCUMENTS)}.")
    return known


def _rows(data: DataConfig, search: Search, password: str | None) -> tuple[SourceFile, ...]:
    kind = kind_of(data.source)
    if kind == "database":
        from tasks.data.reading.fetching import fetch_query

        return (fetch_query(data, search.folder, search.store, password),)
    if kind == "hub":
        from tasks.data.reading.hub import fetch_dataset

        return (fetch_dataset(data, search.store),)
    saved = search.folder / Path(data.source).expanduser()
    pattern = f"{data.source}/*.arrow" if (saved / "state.json").is_file() else data.source  # datasets' save_to_disk
    return search.files("data.source", pattern, () if data.completion_source or data.teacher else ROWS)


def _completions(data: DataConfig, search: Search) -> tuple[SourceFile, ...]:
    if data.completion_source is None:
        return ()
    found = search.one_file("data.completion_source", data.completion_source)
    return (found,) if found else ()


def _contract_file(task: TaskConfig, search: Search) -> SourceFile | None:
    if task.answer.format == "json":
        return search.one_file("task.answer.json_schema", task.answer.json_schema)
    if task.answer.format == "tool_call" and task.answer.tools is not None:
        return search.one_file("task.answer.tools", task.answer.tools)
    if task.answer.format != "sql":
        return None
    found = search.one_file("task.answer.database", task.answer.database)
    journal = Path(f"{found.path}-wal") if found else None
    if journal is not None and journal.exists() and journal.stat().st_size:
        search.problems.append(
            f"task.answer.database: {journal.name} contains changes that are not in the database file yet. Run `PRAGMA "
            "wal_checkpoint(TRUNCATE)` on the database first."
        )
    return found
