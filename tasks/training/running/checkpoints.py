"""Checkpoints that a kill -9 at any moment cannot damage: written aside, hashed, renamed; the last two are kept.

checkpoints/step-000120/   what transformers' Trainer saves, and whole.json: the size and sha256 of each file
best-000080/               the weights with the lowest validation loss so far
aside/                     being written; left behind by a killed process, and never read
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from schemas.errors import StoreUnwritable

WHOLE = "whole.json"
STATE = "trainer_state.json"
KEPT = 2


def step_folder(kind: str, step: int) -> str:
    """Return the name of a step's folder, such as "step-000120"."""
    return f"{kind}-{step:06d}"


def fresh_aside(folder: Path) -> Path:
    """Return an empty folder to write into."""
    aside = folder / "aside"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    return aside


def write_whole(
    folder: Path, target: Path, write: Callable[[Path], Path], say: Callable[[str], None], *, may_retry: bool = True
) -> None:
    """Have `write` fill an empty folder, and move the folder that it returns to `target`.

    If the disk refuses and `may_retry`, checkpoints older than the last good one are deleted, `say` is told so, and all
    is written again.

    Raises:
        StoreUnwritable: it is refused even so; checkpoints that were whole before still are.
    """
    fault = _refusal(folder, target, write)
    if fault is not None and may_retry:
        say(f"{target.name} could not be written: deleting the checkpoints before the last good one to make room")
        _drop_spare(folder)
        fault = _refusal(folder, target, write)
    if fault is not None:
        raise StoreUnwritable(_refused(folder, target, fault)) from fault


def _refusal(folder: Path, target: Path, write: Callable[[Path], Path]) -> Exception | None:
    try:
        put_in_place(write(fresh_aside(folder)), target)
    except Exception as fault:
        shutil.rmtree(folder / "aside", ignore_errors=True)
        if not is_refused_by_disk(fault):
            raise
        return fault
    return None


def is_refused_by_disk(fault: BaseException) -> bool:
    """Return whether an error means that bytes could not be written; torch and safetensors have no class for it."""
    return isinstance(fault, OSError) or any(
        sign in str(fault) for sign in ("inline_container", "PytorchStreamWriter", "I/O error")
    )


def _refused(folder: Path, target: Path, fault: Exception) -> str:
    last, free = newest_whole(folder), shutil.disk_usage(folder).free
    kept = (
        f"The last good checkpoint is {last.name}, and it is kept: free space and run again to resume from it"
        if last
        else "There is no checkpoint yet"
    )
    reason = (fault.strerror if isinstance(fault, OSError) else None) or "the disk took no more bytes"
    return (
        f"{target.name} could not be written into {folder}: {reason}, {free / 1e6:,.0f} MB free there. {kept}, or "
        "start over with TUNEWORTHY_STORE on another disk."
    )


def _drop_spare(folder: Path) -> None:
    last = newest_whole(folder)
    spares = [spare for spare in (folder / "checkpoints").glob("step-*") if spare.name < last.name] if last else []
    for spare in spares:
        shutil.rmtree(spare, ignore_errors=True)


def put_in_place(written: Path, target: Path) -> None:
    """Rename a written folder to the target, after its bytes have reached the disk."""
    files = {path.name: [path.stat().st_size, _synced_digest(path)] for path in sorted(written.iterdir())}
    (written / WHOLE).write_text(json.dumps({"files": files}), encoding="utf-8")
    _synced_digest(written / WHOLE)
    shutil.rmtree(target, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    written.rename(target)
    _sync_folder(target.parent)


def keep_newest(parent: Path, pattern: str, count: int = KEPT) -> None:
    """Delete all but the newest folders of a kind, the oldest first."""
    for old in sorted(parent.glob(pattern))[:-count]:
        shutil.rmtree(old, ignore_errors=True)


def is_whole(folder: Path) -> bool:
    """Return whether every file that a folder's whole.json lists is there and unaltered."""
    try:
        files = json.loads((folder / WHOLE).read_text(encoding="utf-8"))["files"]
        return all(
            (folder / name).stat().st_size == size and _digest(folder / name) == digest
            for name, (size, digest) in files.items()
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def newest_whole(folder: Path) -> Path | None:
    """Return the newest checkpoint that is whole, as are its best weights; None if training has to start over."""
    for checkpoint in sorted((folder / "checkpoints").glob("step-*"), reverse=True):
        if not is_whole(checkpoint):
            continue
        best = best_weights(folder, checkpoint)
        if best == checkpoint or is_whole(best):
            return checkpoint
    return None


def best_weights(folder: Path, checkpoint: Path) -> Path:
    """Return the weights with the lowest validation loss up to a checkpoint; its own where nothing was validated."""
    best = read_state(checkpoint)["best_global_step"]
    return folder / step_folder("best", best) if best else checkpoint


def read_state(checkpoint: Path) -> dict[str, Any]:
    """Return the trainer's state as it was saved: global_step, log_history, best_metric, best_global_step."""
    state: dict[str, Any] = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
    return state


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _synced_digest(path: Path) -> str:
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return _digest(path)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
