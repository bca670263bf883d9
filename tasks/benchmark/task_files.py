"""lm-eval task files read as data: cheap, without lm-eval, and without running the code behind a `!function` tag."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from schemas.errors import ConfigRefused, LibraryMissing

# Loaders of the datasets package that read plain files; any other `dataset_path` is a folder or a name on the hub.
FILE_LOADERS = frozenset({"json", "csv", "parquet", "arrow", "text", "pandas", "xml", "webdataset"})
YAML = (".yaml", ".yml")


class Function(str):
    """What a `!function` tag names: "module.function" if importable, else "/folder/module.py:function"."""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads `!function` as a name; nothing is imported."""


_Loader.add_constructor("!function", lambda loader, node: Function(loader.construct_scalar(node)))


@dataclass(frozen=True)
class TaskFile:
    """One YAML file with all that it includes: `content` stands alone (paths absolute), `parts` are the files read."""

    path: Path
    content: dict[str, Any]
    parts: tuple[Path, ...]

    @property
    def name(self) -> str | None:
        """The group's or the task's name; None for a file that is only there to be included."""
        name = self.content.get("group" if self.is_group else "task")
        return name if isinstance(name, str) else None

    @property
    def is_group(self) -> bool:
        """Tell whether this is a group of tasks; a task that is a class of its own may name its group too."""
        return "group" in self.content and "class" not in self.content

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the tasks, groups and tags in a group, at any depth; empty for a task."""
        return tuple(_members(self.content)) if self.is_group else ()

    @property
    def options(self) -> dict[str, Any]:
        """What is passed on to the loader of the data set."""
        return dict(self.content.get("dataset_kwargs") or {})

    @property
    def hub_set(self) -> str | None:
        """Name of the data set on the hub that this task reads, or None when it reads local files."""
        path = self.content.get("dataset_path")
        return path if isinstance(path, str) and path not in FILE_LOADERS and not Path(path).is_absolute() else None

    @property
    def data_patterns(self) -> list[str]:
        """Absolute paths and globs of the local data that this task reads."""
        path = self.content.get("dataset_path")
        if isinstance(path, str) and Path(path).is_absolute():
            return [f"{path}/**/*"]
        return [name for name in self._data_files if "://" not in name]

    @property
    def urls(self) -> list[str]:
        """Addresses of single files that this task reads over the network."""
        return [name for name in self._data_files if "://" in name]

    @property
    def _data_files(self) -> list[str]:
        return [] if self.hub_set else _texts(self.options.get("data_files"))

    @property
    def code_files(self) -> list[Path]:
        """The code files that this task's `!function` tags name."""
        functions = (text for text in _texts(self.content) if isinstance(text, Function))
        return sorted({Path(name.split(":")[0]) for name in functions if ":" in name})


def _members(group: dict[str, Any]) -> Iterator[str]:
    listed = group.get("task")
    for item in listed if isinstance(listed, list) else ():
        if isinstance(item, dict) and isinstance(item.get("task"), list):
            yield from _members(item)
            continue
        name = item.get("group") or item.get("task") if isinstance(item, dict) else item
        if isinstance(name, str):
            yield name


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for part in parts for text in _texts(part)]


@functools.cache
def library_root() -> Path:
    """Return the folder of lm-eval's own tasks, without importing lm-eval.

    Raises:
        LibraryMissing: lm-eval is not installed.
    """
    found = importlib.util.find_spec("lm_eval")
    if found is None or not found.submodule_search_locations:
        raise LibraryMissing("The benchmark needs lm-eval, which is not installed. Install it: pip install lm_eval")
    return Path(found.submodule_search_locations[0]) / "tasks"


def read_task_file(path: Path, _above: frozenset[Path] = frozenset()) -> TaskFile:
    """Read a task file and what it includes, each beside the file or in lm-eval's own library.

    Raises:
        ConfigRefused: the file is no task file, or an include is missing or goes in a circle.
    """
    own = _mapping(path)
    names = own.pop("include", [])
    content: dict[str, Any] = {}
    parts = [path]
    for name in [names] if isinstance(names, str) else names:
        target = next((folder / name for folder in (path.parent, library_root()) if (folder / name).is_file()), None)
        if target is None or target.resolve() in _above | {path.resolve()}:
            fault = "is missing" if target is None else "leads back to itself"
            raise ConfigRefused(f"benchmark.tasks: {path} includes {name!r}, which {fault}. Fix its `include` line.")
        included = read_task_file(target, _above | {path.resolve()})
        content |= included.content
        parts += included.parts
    return TaskFile(path, content | _anchored(own, path.parent, content.get("dataset_path")), tuple(parts))


def _mapping(path: Path) -> dict[str, Any]:
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as fault:
        raise ConfigRefused(f"benchmark.tasks: {path} is not readable YAML: {' '.join(str(fault).split())}") from fault
    if not isinstance(found, dict):
        raise ConfigRefused(
            f"benchmark.tasks: {path} holds a {type(found).__name__}, not an lm-eval task (a mapping with `task:` or "
            "`group:`)."
        )
    return found


def _anchored(content: dict[str, Any], folder: Path, included: Any) -> dict[str, Any]:
    """Make what is relative to the file's folder absolute: code, a data set's folder, data files.

    Data files of a hub data set are relative to that data set; `included` is the `dataset_path` of the included files.
    """
    content = {
        key: mapped(value, lambda text: _anchored_code(text, folder) if isinstance(text, Function) else text)
        for key, value in content.items()
    }
    options, path = content.get("dataset_kwargs"), content.get("dataset_path", included)
    if isinstance(options, dict) and "data_files" in options and (path is None or path in FILE_LOADERS):
        files = mapped(options["data_files"], lambda name: name if "://" in name else str(folder.absolute() / name))
        content["dataset_kwargs"] = options | {"data_files": files}
    own = content.get("dataset_path")
    if own and isinstance(own, str) and own not in FILE_LOADERS and (folder / own).is_dir():
        content["dataset_path"] = str(folder.absolute() / own)
    return content


def _anchored_code(function: Function, folder: Path) -> Function:
    module, _, name = function.rpartition(".")
    path = folder.absolute() / f"{module.replace('.', '/')}.py"
    return Function(f"{path}:{name}") if path.is_file() else function


def mapped(value: Any, change: Callable[[str], Any]) -> Any:
    """Return a YAML value with every text in it changed."""
    if isinstance(value, dict):
        return {key: mapped(part, change) for key, part in value.items()}
    if isinstance(value, list):
        return [mapped(part, change) for part in value]
    return change(value) if isinstance(value, str) else value
