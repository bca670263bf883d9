"""The task library that lm-eval carries: looked through as files, because its own index takes 13 s to build."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import LibraryMissing, MachineLacks
from tasks.benchmark.task_files import TaskFile, read_task_file

_LINE = re.compile(rb"^[\"']?(task|group|tag|include)[\"']?:[ \t]*([^\n#]*)((?:\n[ \t]*-[ \t]*[^\n]*)*)", re.MULTILINE)
_WORD = re.compile(r"[\w./-]*\w")
HUB_SECONDS = 5


@dataclass(frozen=True)
class Library:
    """Where each name of the library is written, and which tasks bear a tag; paths are relative to `root`."""

    root: Path
    files: dict[str, str]
    tags: dict[str, tuple[str, ...]]

    def read(self, name: str) -> TaskFile:
        """Return the task file of a name of the library."""
        return read_task_file(self.root / self.files[name], self.root)


def library_root() -> Path:
    """Return the folder of lm-eval's own tasks, without importing lm-eval.

    Raises:
        LibraryMissing: lm-eval is not installed.
    """
    found = importlib.util.find_spec("lm_eval")
    if found is None or not found.submodule_search_locations:
        raise LibraryMissing(
            "The benchmark needs lm-eval, which is not installed here. Install it: pip install lm_eval"
        )
    return Path(found.submodule_search_locations[0]) / "tasks"


@functools.cache
def task_library() -> Library:
    """Return the index of lm-eval's own tasks; reads some 14,000 small files in about half a second."""
    root = library_root()
    heads = {path: _head(path.read_bytes()) for path in sorted(root.rglob("*.yaml"))}
    files: dict[str, str] = {}
    tags: dict[str, list[str]] = defaultdict(list)
    for path, head in list(heads.items()):
        name = (head.get("group") or head.get("task") or [""])[0]
        if name and name not in files:
            files[name] = path.relative_to(root).as_posix()
            for tag in _tags(path, heads):
                tags[tag].append(name)
    return Library(root, files, {tag: tuple(sorted(names)) for tag, names in tags.items()})


def _head(content: bytes) -> dict[str, list[str]]:
    """Return the words of the lines that name a task file, without parsing the whole of it."""
    return {key.decode(): _WORD.findall((value + more).decode()) for key, value, more in _LINE.findall(content)}


def _tags(path: Path, heads: dict[Path, dict[str, list[str]]]) -> list[str]:
    head = heads.get(path)
    if head is None:
        head = heads[path] = _head(path.read_bytes()) if path.is_file() else {}
    own = head.get("tag")
    return (
        own
        if own is not None
        else [tag for name in head.get("include", []) for tag in _tags(path.parent / name, heads)]
    )


def hub_version(name: str) -> str:
    """Return the version of a hub data set: the one in this machine's cache, else the hub's newest.

    Raises:
        MachineLacks: it is not in the cache and the hub cannot be asked.
    """
    version = _cached_version(name) or _version_on_hub(name)
    if version is None:
        raise MachineLacks(
            f"data set {name!r} is not in {_cache()}, and the hub does not answer (or HF_HUB_OFFLINE is set)"
        )
    return version


def _cache() -> Path:
    home = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser()
    return Path(os.environ.get("HF_DATASETS_CACHE") or home / "datasets")


def _cached_version(name: str) -> str | None:
    versions = sorted(_cached_folders(name), key=lambda path: path.stat().st_mtime)
    return versions[-1].name if versions else None


def cached_files(name: str) -> list[Path]:
    """Return the files (arrow) of a hub data set that are in this machine's cache, of every part of it:
    CACHE/OWNER___NAME/PART/VERSION/HASH/FILE.
    """
    return sorted(path for folder in _cached_folders(name) for path in folder.glob("*.arrow"))


def _cached_folders(name: str) -> list[Path]:
    *owner, short = name.split("/")
    spaced = re.sub(r"([a-z\d])([A-Z])", r"\1_\2", re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", short)).lower()
    folder = _cache() / "___".join([*owner, spaced])
    return [path for path in folder.glob("*/*/*") if path.is_dir() and not path.name.endswith(".incomplete")]


def _version_on_hub(name: str) -> str | None:
    if os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "ON", "YES", "TRUE"):
        return None
    from huggingface_hub import HfApi

    try:
        return HfApi().dataset_info(name, timeout=HUB_SECONDS).sha
    except Exception:  # noqa: BLE001 (whichever way the hub did not answer, the data set is not to be had)
        return None
