"""lm-eval task files read as data: cheap, without lm-eval, and without running the code that a `!function` tag
names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from schemas.errors import ConfigRefused

# Loaders of the datasets package that read plain files; any other `dataset_path` is a folder or a name on the hub.
FILE_LOADERS = frozenset({"json", "csv", "parquet", "arrow", "text", "pandas", "xml", "webdataset"})


class Function(str):
    """What stands behind a `!function` tag: "module.function" where the module is importable,
    "/folder/module.py:function" where it is a file.
    """


class _Loader(yaml.SafeLoader):
    """Reads `!function` as a name; nothing is imported."""


class _Dumper(yaml.SafeDumper):
    """Writes a `Function` back as a `!function` tag."""


_Loader.add_constructor("!function", lambda loader, node: Function(loader.construct_scalar(node)))  # type: ignore[arg-type]
_Dumper.add_representer(Function, lambda dumper, name: dumper.represent_scalar("!function", str(name)))


@dataclass(frozen=True)
class TaskFile:
    """One YAML file with all that it includes: `content` stands alone (every path in it is absolute), `parts` are the
    files it was read from.
    """

    path: Path
    content: dict[str, Any]
    parts: tuple[Path, ...]

    @property
    def name(self) -> str | None:
        """The group's or the task's name; None for a file that is only there to be included."""
        name = self.content.get("group") or self.content.get("task")
        return name if isinstance(name, str) else None

    @property
    def is_group(self) -> bool:
        """Tell whether this is a group of tasks."""
        return "group" in self.content

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the tasks of a group; empty for a task. Members that are written out in the group itself are not
        listed.
        """
        listed = self.content.get("task")
        if not self.is_group or not isinstance(listed, list):
            return ()
        names = (item if isinstance(item, str) else item.get("group") or item.get("task") for item in listed)
        return tuple(name for name in names if isinstance(name, str))

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
        folder = [f"{path}/**/*"] if isinstance(path, str) and Path(path).is_absolute() else []
        return folder + _texts(self.options.get("data_files"))

    @property
    def code_files(self) -> list[Path]:
        """The code files that this task's `!function` tags name."""
        return sorted({Path(name.split(":")[0]) for name in _functions(self.content) if ":" in name})


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for part in parts for text in _texts(part)]


def _functions(value: Any) -> list[Function]:
    return [text for text in _texts(value) if isinstance(text, Function)]


def read_task_file(path: Path, library: Path, _above: frozenset[Path] = frozenset()) -> TaskFile:
    """Read a task file and what it includes; an include is looked for beside the file, then in lm-eval's own `library`
    of tasks.

    Raises:
        ConfigRefused: the file is no task file, or an include is missing or goes in a circle.
    """
    own = _anchored(_mapping(path), path.parent)
    names = own.pop("include", [])
    content: dict[str, Any] = {}
    parts = [path]
    for name in [names] if isinstance(names, str) else names:
        target = next((folder / name for folder in (path.parent, library) if (folder / name).is_file()), None)
        if target is None or target.resolve() in _above | {path.resolve()}:
            fault = "is missing" if target is None else "leads back to itself"
            raise ConfigRefused(f"benchmark.tasks: {path} includes {name!r}, which {fault}. Mend its `include` line.")
        included = read_task_file(target, library, _above | {path.resolve()})
        content |= included.content
        parts += included.parts
    return TaskFile(path, content | own, tuple(parts))


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


def _anchored(content: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Make what is relative to the file's folder absolute: data, a data set's folder, code."""
    content = {
        key: mapped(value, lambda text: _anchored_code(text, folder) if isinstance(text, Function) else text)
        for key, value in content.items()
    }
    options = content.get("dataset_kwargs")
    if isinstance(options, dict) and "data_files" in options:
        content["dataset_kwargs"] = options | {
            "data_files": mapped(options["data_files"], lambda name: str(folder.absolute() / name))
        }
    path = content.get("dataset_path")
    if isinstance(path, str) and path not in FILE_LOADERS and (folder / path).is_dir():
        content["dataset_path"] = str(folder.absolute() / path)
    return content


def _anchored_code(function: Function, folder: Path) -> Function:
    module, _, name = function.rpartition(".")
    path = folder.absolute() / f"{module.replace('.', '/')}.py"
    return Function(f"{path}:{name}") if path.is_file() else function


def mapped(value: Any, change: Callable[[str], str]) -> Any:
    """Return a YAML value with every text in it changed."""
    if isinstance(value, dict):
        return {key: mapped(part, change) for key, part in value.items()}
    if isinstance(value, list):
        return [mapped(part, change) for part in value]
    return change(value) if isinstance(value, str) else value


def write_task_file(path: Path, content: dict[str, Any]) -> None:
    """Write a task file; `Function` values become `!function` tags again."""
    path.write_text(yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True), encoding="utf-8")
