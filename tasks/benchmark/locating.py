"""From the names in `benchmark.tasks` to what is read, by content: local task files first, then lm-eval's own."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import ConfigRefused, MachineLacks
from schemas.sources import BenchmarkSources, SourceFile
from tasks.benchmark.neutral import locate_neutral
from tasks.benchmark.packaged import cached_files, hub_version, task_library
from tasks.benchmark.task_files import YAML, TaskFile, library_root, read_task_file
from tasks.reuse.sources import source_file

if TYPE_CHECKING:
    from schemas.sections.benchmark import BenchmarkConfig
    from tasks.reuse.store import ArtifactStore

SHIPPED = Path(__file__).resolve().parents[2] / "configs" / "benchmarks"


@dataclass
class Search:
    """What has been found so far: task files by name, names of lm-eval's library, and every problem."""

    local: dict[str, TaskFile] = field(default_factory=dict)
    packaged: dict[str, TaskFile] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)

    def leaves(self) -> list[TaskFile]:
        """Return the task files that are no groups."""
        return [file for file in (*self.local.values(), *self.packaged.values()) if not file.is_group]


def locate_benchmarks(benchmark: BenchmarkConfig, folder: Path, store: ArtifactStore) -> BenchmarkSources:
    """Return what the named benchmarks read.

    Args:
        benchmark: its `tasks` are folders or files under configs/benchmarks, paths relative to `folder`, or names of
            lm-eval's own tasks.
        folder: where relative paths start: the config file's folder.
        store: remembers digests of unchanged files.

    Raises:
        ConfigRefused: a name is unknown (the nearest ones are named), or a task file or the neutral texts cannot be
            used.
        MachineLacks: a task's data set is neither cached here nor available from the hub.
    """
    search = Search()
    names: list[str] = []
    for setting in benchmark.tasks:
        names += _find(setting, folder, search)
    if search.unknown:
        raise ConfigRefused(_listed("benchmark.tasks: not found:", search.unknown))
    _refuse_unusable(search)
    hub = _hub_versions(search)
    files = sorted({path for file in search.local.values() for path in _paths(file)})
    return BenchmarkSources(
        names=tuple(dict.fromkeys(names)),
        files=tuple(source_file(path, store) for path in files),
        packaged=tuple(sorted(search.packaged)),
        hub=hub,
        neutral=locate_neutral(benchmark.neutral, (folder, SHIPPED), store),
    )


def locate_cached_items(benchmark: BenchmarkSources, store: ArtifactStore) -> dict[str, tuple[SourceFile, ...]]:
    """Return hub data set -> its files in this machine's cache, for those of the benchmark's that are there.

    They are no part of what a benchmark reads: its key names their version, so that machines with and without them
    share results. Only the search for items in train rows needs the bytes.
    """
    found = {name: tuple(source_file(path, store) for path in cached_files(name)) for name in sorted(benchmark.hub)}
    return {name: files for name, files in found.items() if files}


def _find(setting: str, folder: Path, search: Search) -> list[str]:
    """Return the lm-eval names that one setting stands for, and note their task files in `search`."""
    for start in (folder, SHIPPED):
        for path in (start / setting, start / f"{setting}.yaml"):
            files = _task_files(path)
            if files:
                names = [file.name or "" for file in _roots(files)]
                _follow(names, _neighbours(path), search)
                return names
    shipped = {file.name or "": file for file in _task_files(SHIPPED)}
    _follow([setting], shipped, search)
    return [setting]


def _task_files(path: Path) -> list[TaskFile]:
    """Return the tasks and groups of one file, or of all files below a folder."""
    paths = [path] if path.is_file() and path.suffix in YAML else sorted(path.rglob("*.yaml"))
    return [file for file in (read_task_file(found) for found in paths) if file.name]


def _roots(files: list[TaskFile]) -> list[TaskFile]:
    """Return the task files that no group among them already holds."""
    held = {member for file in files for member in file.members}
    return [file for file in files if file.name not in held]


def _neighbours(path: Path) -> dict[str, TaskFile]:
    return {file.name or "": file for file in _task_files(path.parent if path.is_file() else path)}


def _follow(names: list[str], local: dict[str, TaskFile], search: Search) -> None:
    """Note the task files of these names and of all that their groups hold."""
    for name in names:
        if name in search.local or name in search.packaged:
            continue
        if name in local:
            search.local[name] = local[name]
            _follow(list(local[name].members), local, search)
        elif name in task_library().files:
            search.packaged[name] = task_library().read(name)
            _follow(list(search.packaged[name].members), {}, search)
        elif name in task_library().tags:
            _follow(list(task_library().tags[name]), {}, search)
        else:
            search.unknown.append(_unknown(name, local))


def _unknown(name: str, local: dict[str, TaskFile]) -> str:
    shipped = sorted(path.stem for path in SHIPPED.iterdir() if path.is_dir() or path.suffix == ".yaml")
    known = {*shipped, *local, *task_library().files, *task_library().tags}
    near = difflib.get_close_matches(name, known, 3, 0.7)
    meant = f" Did you mean {', '.join(near)}?" if near else ""
    return (
        f"{name!r} is neither a file or folder of lm-eval task files nor one of lm-eval's own tasks.{meant} Shipped "
        f"with the project: {', '.join(shipped)}."
    )


def _refuse_unusable(search: Search) -> None:
    problems = [problem for file in search.local.values() for problem in _local_problems(file)]
    problems += [problem for file in search.leaves() for problem in _leaf_problems(file)]
    if problems:
        raise ConfigRefused(_listed("benchmark.tasks cannot be used:", problems))


def _local_problems(file: TaskFile) -> Iterator[str]:
    if file.options.get("trust_remote_code"):
        yield f"{file.path} sets trust_remote_code, which is never allowed here. Remove it and read plain data files."
    for pattern in file.data_patterns:
        if not _matching(pattern):
            yield f"{file.path} reads {pattern}: no such file. Paths are relative to the task file's own folder."


def _leaf_problems(file: TaskFile) -> Iterator[str]:
    if file.content.get("unsafe_code"):
        yield f"Task {file.name!r} runs code that the model wrote, which is never done here. Name another task."
    if file.urls:
        yield (
            f"Task {file.name!r} reads {file.urls[0]}, whose content may change unseen. Download it, and read your "
            "copy from a task file of your own."
        )


def _listed(head: str, problems: list[str]) -> str:
    return "\n".join([head, *(f"  {line}" for line in problems)])


def _hub_versions(search: Search) -> dict[str, str]:
    """Return hub data set -> version, of every task that was found."""
    versions: dict[str, str] = {}
    problems: dict[str, str] = {}
    for file in search.leaves():
        name = file.hub_set
        if name and name not in versions and name not in problems:
            try:
                versions[name] = hub_version(name)
            except MachineLacks as lack:
                problems[name] = f"{file.name}: {lack}."
    if problems:
        raise MachineLacks(
            _listed("Benchmark data is not on this machine:", list(problems.values()))
            + "\nUse a task file of your own instead: one that includes lm-eval's (`include: arc/arc_easy.yaml`), has "
            "a name (`task:`) and reads your copy of the data (`dataset_path: json`, `dataset_name: null`, "
            "`dataset_kwargs: {data_files: ...}`; set a split that the copy lacks to null)."
        )
    return versions


def _paths(file: TaskFile) -> list[Path]:
    """Return every file that a local task reads, except lm-eval's own: its version, which the key holds, pins them."""
    data = [path for pattern in file.data_patterns for path in _matching(pattern)]
    return [path.absolute() for path in (*file.parts, *file.code_files, *data) if library_root() not in path.parents]


def _matching(pattern: str) -> list[Path]:
    return sorted(path for path in Path("/").glob(pattern.lstrip("/")) if path.is_file())
