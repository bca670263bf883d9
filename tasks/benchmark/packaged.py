"""The tasks that lm-eval carries: its own index of them, built once a version and kept, and their hub data."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import os
import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from schemas.errors import MachineLacks
from tasks.benchmark.task_files import TaskFile, library_root, read_task_file
from tasks.reuse.progress import current_reporter
from tasks.reuse.store import cache_folder

HUB_SECONDS = 5


class Library(BaseModel):
    """Where each task and group of the library is written (relative to its root), and which tasks bear a tag."""

    files: dict[str, str]
    tags: dict[str, tuple[str, ...]]

    def read(self, name: str) -> TaskFile:
        """Return the task file of a task or group of the library."""
        return read_task_file(library_root() / self.files[name])


@functools.cache
def task_library() -> Library:
    """Return the index of lm-eval's own tasks: the one on disk, else lm-eval builds it from some 14,000 files."""
    path = _index_path(library_root())
    try:
        return Library.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        library = _built_index(library_root())
    # Where nothing can be written, the index is built anew each time: slow, but right.
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(f".{os.getpid()}.tmp")
        aside.write_text(library.model_dump_json(), encoding="utf-8")
        aside.replace(path)
    return library


def _index_path(root: Path) -> Path:
    """Name the index by lm-eval's version, place and time of installation: another lm-eval gets another index."""
    installed = f"{importlib.metadata.version('lm_eval')} {root} {root.stat().st_mtime_ns}"
    return cache_folder() / f"lm-eval-tasks-{hashlib.sha256(installed.encode()).hexdigest()[:16]}.json"


def _built_index(root: Path) -> Library:
    current_reporter.get().say("lm-eval indexes its task library: about 15 seconds, once for each installed version")
    from lm_eval.tasks import TaskManager

    entries = TaskManager(include_path=root, include_defaults=False).task_index
    return Library(
        files={
            name: entry.yaml_path.relative_to(root).as_posix() for name, entry in entries.items() if entry.yaml_path
        },
        tags={name: tuple(sorted(entry.tags)) for name, entry in entries.items() if not entry.yaml_path},
    )


def hub_version(name: str) -> str:
    """Return the version of a hub data set: the one in this machine's cache, else the hub's newest.

    Raises:
        MachineLacks: it is not in the cache and the hub cannot be asked.
    """
    cached = max(_cached_folders(name), key=lambda path: path.stat().st_mtime, default=None)
    version = cached.name if cached else _version_on_hub(name)
    if version is None:
        raise MachineLacks(
            f"data set {name!r} is not in {_cache()}, and the hub does not answer (or HF_HUB_OFFLINE is set)"
        )
    return version


def cached_files(name: str) -> list[Path]:
    """Return the cached files (arrow) of a hub data set, every part: CACHE/OWNER___NAME/PART/VERSION/HASH/FILE."""
    return sorted(path for folder in _cached_folders(name) for path in folder.glob("*.arrow"))


def _cache() -> Path:
    home = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser()
    return Path(os.environ.get("HF_DATASETS_CACHE") or home / "datasets")


def _cached_folders(name: str) -> Iterator[Path]:
    *owner, short = name.split("/")
    spaced = re.sub(r"([a-z\d])([A-Z])", r"\1_\2", re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", short)).lower()
    folder = _cache() / "___".join([*owner, spaced])
    return (path for path in folder.glob("*/*/*") if path.is_dir() and not path.name.endswith(".incomplete"))


def _version_on_hub(name: str) -> str | None:
    from huggingface_hub import HfApi

    try:
        return HfApi().dataset_info(name, timeout=HUB_SECONDS).sha
    except Exception:  # noqa: BLE001 (offline, unknown, refused: whatever the reason, there is no version)
        return None
