"""What this machine has learned about its memory, kept in the store's own folder here: it moves no numbers and is no
part of a key.

machine/training.json   {"floor": bytes of a process before a model is loaded, "limits": {model, method, length and
                        card: tokens of a pack that fit}}
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.reuse.store import ArtifactStore, write_atomically

if TYPE_CHECKING:
    from schemas.training_config import TrainingConfig


def size_key(base: Path, training: TrainingConfig, longest: int, device: str) -> str:
    """Return what a size holds for: the base (a sealed folder is named by its digest), the method, the longest row and
    the card.
    """
    return (
        f"{base.name[:16]} {training.method} {training.adapter_kind} r{training.rank} rows to {longest} {_card(device)}"
    )


def _card(device: str) -> str:
    if device != "cuda":
        return device
    import torch

    return str(torch.cuda.get_device_name())


def known_limit(store: ArtifactStore, key: str) -> int | None:
    """Return the pack size at which memory was enough the last time that it had run out, or None."""
    limit = _read(store).get("limits", {}).get(key)
    return limit if isinstance(limit, int) else None


def note_limit(store: ArtifactStore, key: str, capacity: int) -> None:
    """Remember that packs had to be made this small."""
    known = _read(store)
    _write(store, known | {"limits": known.get("limits", {}) | {key: capacity}})


def known_floor(store: ArtifactStore) -> int | None:
    """Return what a training process took before its model was loaded, as it was measured the last time, or None."""
    floor = _read(store).get("floor")
    return floor if isinstance(floor, int) and floor > 0 else None


def note_floor(store: ArtifactStore, floor: int) -> None:
    """Remember what this process takes now."""
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
