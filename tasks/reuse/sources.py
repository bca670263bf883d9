"""Files outside the store, by content: what the data and the base stage start from."""

from __future__ import annotations

from pathlib import Path

from schemas.errors import ConfigRefused
from schemas.sources import SourceFile
from tasks.reuse.store import ArtifactStore


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
    root, relative = (
        (Path(base.anchor), str(base.relative_to(base.anchor))) if base.is_absolute() else (folder, str(base))
    )
    found = sorted(path for path in root.glob(relative) if path.is_file())
    if not found:
        raise ConfigRefused(
            f"{setting}: no file matches {pattern!r} in {folder.absolute()}. Name a file or a glob relative to the "
            "config file."
        )
    return tuple(source_file(path, store) for path in found)
