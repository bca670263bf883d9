"""From the names in `benchmark.tasks` to what a benchmark reads, by content: local task files first, then lm-eval's own
library.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.artifacts import BenchmarkSources, SourceFile
from schemas.errors import ConfigRefused, MachineLacks
from tasks.benchmark.packaged import cached_files, hub_version, library_root, task_library
from tasks.benchmark.task_files import TaskFile, read_task_file
from tasks.reuse.sources import source_file

if TYPE_CHECKING:
    from schemas.config import BenchmarkConfig
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
        ConfigRefused: a name is unknown (the nearest ones are named), or a task file cannot be used.
        MachineLacks: a task's data set is on the hub, and neither cached here nor to be had.
    """
    search = Search()
    names: list[str] = []
    for setting in benchmark.tasks:
        names += _find(setting, folder, search)
    if search.unknown:
        raise ConfigRefused(_listed("benchmark.tasks cannot be found:", search.unknown))
    _refuse_unsafe(search)
    hub = _hub_versions(search)
    files = sorted({path for file in search.local.values() for path in _paths(file)})
    return BenchmarkSources(
        names=tuple(dict.fromkeys(names)),
        files=tuple(source_file(path, store) for path in files),
        packaged=tuple(sorted(search.packaged)),
        hub=hub,
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
    paths = (
        [path]
        if path.is_file() and path.suffix in (".yaml", ".yml")
        else sorted(path.rglob("*.yaml"))
        if path.is_dir()
        else []
    )
    return [file for file in (read_task_file(found, library_root()) for found in paths) if file.name]


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
    shipped = sorted(
        path.name.removesuffix(".yaml") for path in SHIPPED.iterdir() if path.is_dir() or path.suffix == ".yaml"
    )
    known = {*shipped, *local, *task_library().files, *task_library().tags}
    near = difflib.get_close_matches(name, known, 3, 0.7)
    meant = f" Did you mean {', '.join(near)}?" if near else ""
    return (
        f"{name!r} is no file or folder with lm-eval task files here, and no task of lm-eval.{meant} Shipped with "
        f"the project: {', '.join(shipped)}."
    )


def _refuse_unsafe(search: Search) -> None:
    problems = []
    for file in search.local.values():
        if file.options.get("trust_remote_code"):
            problems.append(
                f"{file.path} asks for trust_remote_code, which is never on here. Take the line out and read plain "
                "data files."
            )
        missing = [pattern for pattern in file.data_patterns if not _matching(pattern)]
        problems += [
            f"{file.path} reads {pattern}: no such file. Paths start at the task file's own folder."
            for pattern in missing
        ]
    unsafe = [file.name for file in search.leaves() if file.content.get("unsafe_code")]
    problems += [f"task {name!r} runs code that the model wrote; such tasks are not run here" for name in unsafe]
    if problems:
        raise ConfigRefused(_listed("benchmark.tasks cannot be used:", problems))


def _listed(head: str, problems: list[str]) -> str:
    return "\n".join([head, *(f"  {line}" for line in problems)])


def _hub_versions(search: Search) -> dict[str, str]:
    wanted: dict[str, str] = {}
    for file in search.leaves():
        if file.hub_set:
            wanted.setdefault(file.hub_set, file.name or "")
    versions, problems = {}, []
    for name, task in wanted.items():
        try:
            versions[name] = hub_version(name)
        except MachineLacks as lack:
            problems.append(f"{task}: {lack}.")
    if problems:
        raise MachineLacks(
            _listed("Benchmark data is not on this machine:", problems)
            + "\nPut a local file task in its place: a YAML file that includes lm-eval's own (`include: "
            "arc/arc_easy.yaml`), names itself (`task:`), "
            "and reads your copy (`dataset_path: json`, `dataset_name: null`, `dataset_kwargs: {data_files: ...}`; a "
            "split that it lacks is set to null)."
        )
    return versions


def _paths(file: TaskFile) -> list[Path]:
    """Return everything that a local task stands on, lm-eval's own files apart (they are pinned by its version)."""
    data = [path for pattern in file.data_patterns for path in _matching(pattern)]
    return [path.absolute() for path in (*file.parts, *file.code_files, *data) if library_root() not in path.parents]


def _matching(pattern: str) -> list[Path]:
    return sorted(path for path in Path("/").glob(pattern.lstrip("/")) if path.is_file())
