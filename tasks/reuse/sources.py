"""Files outside the store, by content: what the data and the base stage start from."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from schemas.errors import ConfigRefused
from schemas.sources import SourceFile
from tasks.reuse.store import ArtifactStore

HUB_ID = re.compile(r"[\w.-]+/[\w-]+")  # a name with a dot would be a file's


def source_file(path: Path, store: ArtifactStore) -> SourceFile:
    """Return a file by content; an unchanged file costs a stat."""
    return SourceFile(path=str(path.absolute()), digest=store.file_digest(path), suffix=suffix_of(path))


def suffix_of(path: Path) -> str:
    """Return what kind of file it is: its last suffix, with the one before where it is compressed, in lower case."""
    packed = path.suffix.lower() in (".gz", ".zst")
    return "".join(path.suffixes[-2 if packed else -1 :]).lower()


def source_files(setting: str, pattern: str, folder: Path, store: ArtifactStore) -> tuple[SourceFile, ...]:
    """Return the files that a path or glob names, in the order of their names.

    Raises:
        ConfigRefused: no file matches; the message names the setting and the folder that was searched.
    """
    base = Path(pattern).expanduser()
    if (folder / base).is_file():  # whose name may hold what a glob takes for signs of its own, such as "[final]"
        return (source_file(folder / base, store),)
    root, relative = (
        (Path(base.anchor), str(base.relative_to(base.anchor))) if base.is_absolute() else (folder, str(base))
    )
    found = sorted(path for path in root.glob(relative) if path.is_file())
    if not found:
        raise ConfigRefused(
            f"{setting}: no file matches '{pattern}' in {folder.absolute()}. {_instead(pattern, folder / base, folder)}"
        )
    return tuple(source_file(path, store) for path in found)


def _instead(pattern: str, path: Path, folder: Path) -> str:
    """Return what to name instead of a pattern that no file matches."""
    if path.is_dir():
        kinds = Counter(suffix_of(file) for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
        known = ", or ".join(f"{pattern.rstrip('/')}/*{kind}" for kind, _ in kinds.most_common(3))
        return f"It is a folder; name files in it{f': {known}' if known else ''}."
    slashed = pattern.replace("\\", "/")
    if slashed != pattern and (folder / slashed).is_file():
        return f"Write it with slashes: {slashed}."
    hub = f" On the hub it would be hub://{pattern}." if HUB_ID.fullmatch(pattern) and not path.parent.is_dir() else ""
    return f"Name a file or a glob relative to the config file.{hub}"
