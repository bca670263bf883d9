"""What earlier fits found out about this machine's memory, kept in the store. It changes no numbers and is in no key.

machine/training.json   {"floor": bytes that a process takes up before a model is loaded,
                         "limits": {model, method, longest row and device: tokens of a pack that fit}}
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.reuse.store import ArtifactStore, write_atomically

if TYPE_CHECKING:
    from schemas.sections.training import TrainingConfig


def size_key(base: Path, training: TrainingConfig, longest: int, device: str) -> str:
    """Return what a pack size depends on: base (a sealed one by digest), method, longest row and device."""
    return (
        f"{base.name[:16]} {training.method} {training.adapter_kind} r{training.rank} rows to {longest} {_card(device)}"
    )


def _card(device: str) -> str:
    if device != "cuda":
        return device
    import torch

    return str(torch.cuda.get_device_name())


def known_limit(store: ArtifactStore, key: str) -> int | None:
    """Return the pack size that fitted after larger ones had run out of memory, or None."""
    limit = _read(store).get("limits", {}).get(key)
    return limit if isinstance(limit, int) else None


def note_limit(store: ArtifactStore, key: str, capacity: int) -> None:
    """Note that packs had to be made this small."""
    known = _read(store)
    _write(store, known | {"limits": known.get("limits", {}) | {key: capacity}})


def known_floor(store: ArtifactStore) -> int | None:
    """Return the bytes that the last training process took up before its model was loaded, or None."""
    floor = _read(store).get("floor")
    return floor if isinstance(floor, int) and floor > 0 else None


def note_floor(store: ArtifactStore, floor: int) -> None:
    """Note the bytes that this process takes up now."""
    _write(store, _read(store) | {"floor": floor})


def _path(store: ArtifactStore) -> Path:
    return store.root / "machine" / "training.json"


def _read(store: ArtifactStore) -> dict[str, Any]:
    try:
        known = json.loads(_path(store).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _write(store: ArtifactStore, known: dict[str, Any]) -> None:
    store.folder("machine")
    write_atomically(_path(store), json.dumps(known, indent=1, sort_keys=True), store)
