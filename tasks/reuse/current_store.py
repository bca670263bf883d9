"""Which store this process works with: the one that TUNEWORTHY_STORE names, or the one in the working folder."""

from __future__ import annotations

import os
from pathlib import Path

from tasks.reuse.store import ArtifactStore

DEFAULT_FOLDER = ".tuneworthy"


def current_store() -> ArtifactStore:
    """Return the store that TUNEWORTHY_STORE names (a folder, or a URL that fsspec knows), or the one in the working
    folder.

    Raises:
        LibraryMissing: fsspec needs a package for this kind of URL.
    """
    named = os.environ.get("TUNEWORTHY_STORE") or DEFAULT_FOLDER
    if "://" in named:
        from tasks.reuse.remote_store import RemoteStore

        return RemoteStore.at(named)
    return ArtifactStore(Path(named))
