"""A store behind a URL (s3://bucket/prefix or any other that fsspec knows): artifacts and records live there, a local
folder holds copies.

Objects appear whole or not at all; an artifact's manifest is written last, so its existence means that every file was
uploaded. An artifact that is opened is downloaded once and checked byte for byte against the manifest.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import shutil
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from schemas.errors import ArtifactBroken, LibraryMissing, TransientFault
from tasks.reuse.keys import digest_of
from tasks.reuse.locks import holding_lease
from tasks.reuse.store import MANIFEST, ArtifactStore, cache_folder

REMOTE = ("botocore", "aiobotocore", "aiohttp")  # whose errors are a store that did not answer


class RemoteStore(ArtifactStore):
    """An ArtifactStore with remote contents; work directories, memos and Prefect's mirror stay on this machine."""

    def __init__(self, url: str, fs: Any, prefix: str, root: Path) -> None:
        super().__init__(root)
        self.url, self.fs, self.prefix = url.rstrip("/"), fs, prefix.rstrip("/")

    @classmethod
    @functools.cache
    def at(cls, url: str) -> RemoteStore:
        """Return the store at a URL; its local copies lie under TUNEWORTHY_CACHE, by default ~/.cache/tuneworthy.

        Raises:
            LibraryMissing: fsspec needs a package for this kind of URL.
        """
        import fsspec

        try:
            fs, prefix = fsspec.core.url_to_fs(url, use_listings_cache=False, skip_instance_cache=True)
        except (ImportError, ValueError) as fault:
            raise LibraryMissing(
                f"TUNEWORTHY_STORE={url}: {fault}. Install the package it names, or name a folder."
            ) from fault
        return cls(url, fs, prefix, cache_folder() / hashlib.sha256(url.encode()).hexdigest()[:16])

    @property
    def address(self) -> str:
        """The URL."""
        return self.url

    @contextlib.contextmanager
    def holding(self, name: str, waiting: Callable[[str], None]) -> Iterator[None]:
        """Be the only worker of `name` on all machines that share the store."""
        with super().holding(name, waiting), holding_lease(self.fs, self._path("locks", f"{name}.json"), waiting):
            yield

    def is_held(self, name: str) -> bool:
        """Tell whether somebody works on `name` at this moment, on any machine."""
        return super().is_held(name) or self._read_bytes("locks", f"{name}.json") is not None

    def seal(self, kind: str, folder: Path) -> str:
        """Seal locally, then upload: files first, the manifest last."""
        digest = super().seal(kind, folder)
        if not self._is_whole_there(digest):
            local = self.root / "artifacts" / digest
            with self._reaching():
                for name in json.loads((local / MANIFEST).read_text(encoding="utf-8"))["files"]:
                    self.fs.put_file(str(local / name), self._path("artifacts", digest, name))
                self.fs.pipe_file(self._path("artifacts", digest, MANIFEST), (local / MANIFEST).read_bytes())
        return digest

    def open(self, digest: str) -> Path:
        """Return the local copy of an artifact, downloaded and checked if need be."""
        if not super().is_whole(digest):
            self._download(digest)
        try:
            return super().open(digest)
        except ArtifactBroken:
            with contextlib.suppress(OSError):  # without its manifest the remote artifact is a miss from now on
                self.fs.rm_file(self._path("artifacts", digest, MANIFEST))
            raise

    def is_whole(self, digest: str) -> bool:
        """Tell whether the remote artifact has every file at its size, and a local copy its bytes."""
        return self._is_whole_there(digest) and (
            not (self.root / "artifacts" / digest).exists() or super().is_whole(digest)
        )

    def _is_whole_there(self, digest: str) -> bool:
        manifest = self._read_json("artifacts", digest, MANIFEST)
        try:
            if manifest is None or digest_of({"kind": manifest["kind"], "files": manifest["files"]}) != digest:
                return False
            files = manifest["files"]
            with ThreadPoolExecutor(max_workers=8) as asking:
                sizes = asking.map(self._size, (self._path("artifacts", digest, name) for name in files))
                return all(found == size for found, (_, size) in zip(sizes, files.values(), strict=True))
        except (KeyError, TypeError, ValueError):
            return False

    def _size(self, path: str) -> int | None:
        """Return an object's bytes, asked of the object itself: a listing may be older than the object."""
        with self._reaching():
            try:
                return int(self.fs.info(path, refresh=True)["size"])
            except FileNotFoundError:
                return None

    def _download(self, digest: str) -> None:
        self._set_aside(digest)
        aside = self.folder("downloads") / uuid.uuid4().hex
        try:
            manifest = self._read_json("artifacts", digest, MANIFEST) or {"files": {}}
            for name in (*manifest["files"], MANIFEST):
                (aside / name).parent.mkdir(parents=True, exist_ok=True)
                with self._reaching(), self.writing(), contextlib.suppress(FileNotFoundError):
                    self.fs.get_file(self._path("artifacts", digest, name), str(aside / name))
            with contextlib.suppress(OSError):  # another process was quicker
                aside.rename(self.folder("artifacts") / digest)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def write_record(self, stage: str, key: str, record: dict[str, Any]) -> None:
        """Write the record locally, then remotely; another machine may read it at once."""
        super().write_record(stage, key, record)
        local = (self.root / "records" / stage / f"{key}.json").read_bytes()
        with self._reaching():
            self.fs.pipe_file(self._path("records", stage, f"{key}.json"), local)
            for name in (record["label"], f"{record['label']}@{record['run']}"):
                self.fs.pipe_file(self._path("latest", stage, f"{name}.json"), local)

    def promised(self, stage: str, key: str) -> bool:
        """Tell whether a key has a record at all, whole or not."""
        return self._read_json("records", stage, f"{key}.json") is not None

    def names(self, *parts: str) -> list[str]:
        """Return what lies in one of the remote store's folders, by name."""
        with self._reaching():
            try:
                return sorted(
                    path.rstrip("/").rsplit("/", 1)[-1] for path in self.fs.ls(self._path(*parts), detail=False)
                )
            except FileNotFoundError:
                return []

    def sizes(self, digest: str) -> int:
        """Return the size of a remote artifact in bytes."""
        with self._reaching():
            return sum(info["size"] for info in self.fs.find(self._path("artifacts", digest), detail=True).values())

    def remove(self, *parts: str) -> None:
        """Remove something locally and remotely; an artifact's manifest goes first, so that nobody opens half of it."""
        if self.root.joinpath(*parts).exists():
            super().remove(*parts)
        with self._reaching(), contextlib.suppress(FileNotFoundError):
            with contextlib.suppress(FileNotFoundError):
                self.fs.rm_file(self._path(*parts, MANIFEST))
            self.fs.rm(self._path(*parts), recursive=True)

    def _read_record(self, path: Path) -> dict[str, Any] | None:
        return self._checked_record(self._read_bytes(*path.relative_to(self.root).parts))

    def _read_json(self, *parts: str) -> dict[str, Any] | None:
        with contextlib.suppress(ValueError):
            return json.loads(self._read_bytes(*parts) or b"null")  # type: ignore[no-any-return]
        return None

    def _read_bytes(self, *parts: str) -> bytes | None:
        with self._reaching():
            try:
                return bytes(self.fs.cat_file(self._path(*parts)))
            except FileNotFoundError:
                return None

    def _path(self, *parts: str) -> str:
        return "/".join((self.prefix, *parts))

    @contextlib.contextmanager
    def _reaching(self) -> Iterator[None]:
        """Turn an error of the storage, or no answer, into a TransientFault, since trying again may help."""
        try:
            yield
        except FileNotFoundError:
            raise
        except Exception as fault:
            if isinstance(fault, OSError) or type(fault).__module__.partition(".")[0] in REMOTE:
                raise TransientFault(
                    f"The store {self.url} did not answer: {type(fault).__name__}: {fault}. Check its address and "
                    "your credentials; run again to continue."
                ) from fault
            raise
