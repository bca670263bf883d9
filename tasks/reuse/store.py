"""ArtifactStore: where bytes live, sealed under their digest.

artifacts/<digest>/          the files and manifest.json, written last; the folder appears by one atomic rename
records/<stage>/<key>.json   a record: this stage, with this key, answered that artifact
latest/<stage>/              the last record of each stage and run, to explain a miss
work/<stage>-<key>/          a work directory per key; it survives a crash, so a retry continues from it
locks/ prefect/ memo/        who works on a key; Prefect's mirror of the records; digests of files by their stat
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from schemas.errors import ArtifactBroken, StoreUnwritable
from tasks.reuse.keys import digest_of
from tasks.reuse.locks import file_lock, is_locked

MANIFEST = "manifest.json"
RECORD_SCHEMA = 1


class ArtifactStore:
    """Sealed artifacts and the records of the stages that made them, in one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._checked: set[str] = set()

    @property
    def address(self) -> str:
        """Where the store is, as a path for people."""
        return str(self.root)

    @contextlib.contextmanager
    def holding(self, name: str, waiting: Callable[[str], None]) -> Iterator[None]:
        """Be the only worker of `name`; while another is at work, pass its name to `waiting` and wait."""
        with contextlib.ExitStack() as held:
            with self.writing():
                held.enter_context(file_lock(self.folder("locks") / f"{name}.lock", waiting))
            yield

    def is_held(self, name: str) -> bool:
        """Tell whether somebody works on `name` at this moment."""
        return is_locked(self.root / "locks" / f"{name}.lock")

    def folder(self, *parts: str) -> Path:
        """Return a folder of the store, made if need be.

        Raises:
            StoreUnwritable: it cannot be made.
        """
        path = self.root.joinpath(*parts)
        with self.writing():
            path.mkdir(parents=True, exist_ok=True)
        return path

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Turn a full disk or a missing permission into a StoreUnwritable that says what to do."""
        try:
            yield
        except OSError as fault:
            if isinstance(fault, FileNotFoundError) and self.root.is_dir():  # another process was faster
                raise
            if fault.errno in (errno.ENOSPC, errno.EDQUOT):
                full = f"The store {self.root} is full ({fault.strerror}). Nothing was sealed."
                raise StoreUnwritable(f"{full} Make room, or set TUNEWORTHY_STORE elsewhere, and run again.") from fault
            why = fault.strerror or str(fault)
            if os.path.islink(self.root) and not os.path.exists(self.root):  # noqa: PTH110, PTH114  (pathlib's raise for a long name)
                why = f"it is a link to {self.root.readlink()}, which does not exist; is that disk mounted?"
            raise StoreUnwritable(
                f"The store {self.root} cannot be written ({why}). Fix its permissions, or set TUNEWORTHY_STORE to a "
                "folder that you can write to."
            ) from fault

    # artifacts

    def seal(self, kind: str, folder: Path) -> str:
        """Move a finished folder into the store and return its digest. Equal files give the same artifact."""
        with self.writing():
            files = {
                str(path.relative_to(folder)): _measured(path)
                for path in sorted(folder.rglob("*"))
                if path.is_file() and path.name != MANIFEST
            }
            digest = digest_of({"kind": kind, "files": files})
            (folder / MANIFEST).write_text(
                json.dumps({"kind": kind, "files": files}, indent=1, sort_keys=True), encoding="utf-8"
            )
            self._place(folder, digest)
            self._remember(digest, files)
        return digest

    def _remember(self, digest: str, files: dict[str, tuple[str, int]]) -> None:
        """Remember the digests that sealing computed, so that the next look-up need not read the files again."""
        for name, (sha256, _) in files.items():
            path = self.root / "artifacts" / digest / name
            with contextlib.suppress(FileNotFoundError):
                self._write_memo(path, _mark(path), sha256)

    def _place(self, folder: Path, digest: str) -> None:
        target = self.folder("artifacts") / digest
        if target.exists():
            if self.is_whole(digest):
                shutil.rmtree(folder)
                return
            self._set_aside(digest)
        _move(folder, target)

    def _set_aside(self, digest: str) -> None:
        """Move a broken artifact away, so that its record is a miss from now on; its files are kept for inspection."""
        with contextlib.suppress(FileNotFoundError), self.writing():
            (self.root / "artifacts" / digest).rename(self.folder("broken") / f"{digest}-{uuid.uuid4().hex[:8]}")

    def open(self, digest: str) -> Path:
        """Return the folder of a sealed artifact after checking every byte once per process.

        Raises:
            ArtifactBroken: a file is missing or altered.
        """
        if digest not in self._checked:
            problem = self._problem(digest, sha256_of)
            if problem:
                self._set_aside(digest)
                raise ArtifactBroken(
                    f"Artifact {digest[:12]} in {self.root} is broken: {problem}. It was set aside in broken/. "
                    "Run again: its stage will make it anew."
                )
            self._checked.add(digest)
        return self.root / "artifacts" / digest

    def is_whole(self, digest: str) -> bool:
        """Tell whether an artifact's files are all there, unaltered; one with an unchanged stat is not read again."""
        return self._problem(digest, self.file_digest) is None

    def _problem(self, digest: str, measure: Any) -> str | None:
        folder = self.root / "artifacts" / digest
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            if digest_of({"kind": manifest["kind"], "files": manifest["files"]}) != digest:
                return f"{MANIFEST} was altered"
            for name, (sha256, size) in manifest["files"].items():
                if (folder / name).stat().st_size != size or measure(folder / name) != sha256:
                    return f"{name} was altered"
        except FileNotFoundError as fault:
            return f"{Path(str(fault.filename)).name} is missing"
        except (ValueError, KeyError, TypeError, OSError):
            return f"{MANIFEST} cannot be read"
        return None

    # records

    def record(self, stage: str, key: str) -> dict[str, Any] | None:
        """Return the record of a stage's key if its artifact is whole, else None."""
        record = self._read_record(self.root / "records" / stage / f"{key}.json")
        return record if record and self.is_whole(record["artifact"]["digest"]) else None

    def latest(self, stage: str, label: str, run: str) -> dict[str, Any] | None:
        """Return the last record of a stage in this run, else in any run, to explain a miss."""
        folder = self.root / "latest" / stage
        own = self._read_record(folder / f"{label}@{run}.json")
        return own or self._read_record(folder / f"{label}.json")

    def records(self, stage: str) -> Iterator[dict[str, Any]]:
        """Yield every record of a stage, in the order of their keys, without checking that its artifact is whole."""
        for name in self.names("records", stage):
            record = self._read_record(self.root / "records" / stage / name)
            if record is not None:
                yield record

    def write_record(self, stage: str, key: str, record: dict[str, Any]) -> None:
        """Write a record atomically, also as the stage's latest."""
        text = json.dumps({"schema": RECORD_SCHEMA, **record}, indent=1)
        write_atomically(self.folder("records", stage) / f"{key}.json", text, self)
        for name in (record["label"], f"{record['label']}@{record['run']}"):
            write_atomically(self.folder("latest", stage) / f"{name}.json", text, self)

    def promised(self, stage: str, key: str) -> bool:
        """Tell whether a key has a record at all, whole or not."""
        return (self.root / "records" / stage / f"{key}.json").exists()

    def _read_record(self, path: Path) -> dict[str, Any] | None:
        try:
            return self._checked_record(path.read_bytes())
        except OSError:
            return None

    @staticmethod
    def _checked_record(text: bytes | None) -> dict[str, Any] | None:
        """Return a record that is whole and of this schema; one of an older schema is a miss, not an error."""
        try:
            record = json.loads(text or b"")
            is_known = (
                record["schema"] == RECORD_SCHEMA
                and isinstance(record["artifact"]["digest"], str)
                and isinstance(record["sealed_at"], float)
            )
            return record if is_known else None
        except (ValueError, KeyError, TypeError):
            return None

    # upkeep

    def names(self, *parts: str) -> list[str]:
        """Return what lies in one of the store's folders, by name."""
        folder = self.root.joinpath(*parts)
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    def sizes(self, digest: str) -> int:
        """Return the size of an artifact in bytes."""
        return sum(path.stat().st_size for path in (self.root / "artifacts" / digest).rglob("*") if path.is_file())

    def remove(self, *parts: str) -> None:
        """Remove a file or folder of the store for good; a folder is first renamed, so that nobody opens half of it."""
        path = self.root.joinpath(*parts)
        with self.writing():
            if path.is_dir():
                aside = self.folder("removing") / uuid.uuid4().hex
                path.rename(aside)
                shutil.rmtree(aside)
            else:
                path.unlink(missing_ok=True)

    # digests of files by their stat

    def file_digest(self, path: Path) -> str:
        """Return a file's sha256; an unchanged file (same size, times and inode) is not read again."""
        mark = _mark(path)
        with contextlib.suppress(OSError, ValueError):
            old_mark, digest = self._memo(path).read_text(encoding="utf-8").split()
            if old_mark == mark and len(digest) == 64:
                return digest
        digest = sha256_of(path)
        self._write_memo(path, mark, digest)
        return digest

    def _memo(self, path: Path) -> Path:
        return self.root / "memo" / hashlib.sha256(f"{path.absolute()}".encode()).hexdigest()[:32]

    def _write_memo(self, path: Path, mark: str, digest: str) -> None:
        with contextlib.suppress(StoreUnwritable):
            self.folder("memo")
            write_atomically(self._memo(path), f"{mark} {digest}", self)


def _mark(path: Path) -> str:
    stat = path.stat()
    return f"{stat.st_size}-{stat.st_mtime_ns}-{stat.st_ctime_ns}-{stat.st_ino}"


def _measured(path: Path) -> tuple[str, int]:
    return sha256_of(path), path.stat().st_size


def cache_folder() -> Path:
    """Return this machine's folder for what can be had again: TUNEWORTHY_CACHE, or ~/.cache/tuneworthy."""
    return Path(os.environ.get("TUNEWORTHY_CACHE") or Path.home() / ".cache" / "tuneworthy")


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_atomically(path: Path, text: str, store: ArtifactStore) -> None:
    """Write a small file so that a reader sees the old text or the new one, never a part."""
    aside = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    with store.writing():
        try:
            aside.write_text(text, encoding="utf-8")
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)


def _move(folder: Path, target: Path) -> None:
    """Rename a folder; across disks, copy beside the target first so that it still appears in one step."""
    try:
        folder.rename(target)
    except OSError as fault:
        if fault.errno in (errno.ENOTEMPTY, errno.EEXIST):  # another process sealed the same bytes first
            shutil.rmtree(folder)
        elif fault.errno == errno.EXDEV:
            aside = target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}.tmp")
            shutil.copytree(folder, aside)
            aside.rename(target)
            shutil.rmtree(folder)
        else:
            raise
