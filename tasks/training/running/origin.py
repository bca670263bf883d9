"""What a fit was started from, noted beside its checkpoints: resuming it with anything else is refused.

The stage's own folder is named by a key that covers all of this. The note guards against what a key cannot notice: a
folder that was copied, renamed or edited.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.errors import TrainingStopped
from tasks.reuse.keys import digest_of, flatten
from tasks.reuse.store import write_atomically

if TYPE_CHECKING:
    from schemas.sections.training import TrainingConfig
    from tasks.reuse.stage import WorkDirectory

ORIGIN = "origin.json"


def origin_of(
    training: TrainingConfig, instruction: str, base: Path, rows: Path, seed: int, replay: Path | None = None
) -> dict[str, Any]:
    """Return all that a fit's numbers depend on, flat: digests, the instruction, the seed, settings in a key."""
    weights = {path.name: _digest(path) for path in sorted([*base.glob("*.safetensors"), base / "config.json"])}
    table = {"data": _digest(rows), "base": digest_of(weights), "task.instruction": instruction, "seed": seed}
    table |= {"replay": _digest(replay)} if replay else {}
    return table | dict(flatten("training", training))


def refuse_other_origin(workdir: WorkDirectory, origin: dict[str, Any]) -> None:
    """Note the origin of a fit in its work directory; one that is noted already has to be the same.

    Raises:
        TrainingStopped: the folder's checkpoints belong to another fit; the message names what differs.
    """
    path = workdir.folder / ORIGIN
    if not path.exists():
        write_atomically(path, json.dumps(origin, indent=1, sort_keys=True), workdir.store)
        return
    noted = json.loads(path.read_text(encoding="utf-8"))
    names = (name for name in sorted({*noted, *origin}) if noted.get(name) != origin.get(name))
    moved = [f"{name} {noted.get(name)!r} there, {origin.get(name)!r} now" for name in names]
    if moved:
        raise TrainingStopped(
            f"The checkpoints in {workdir.folder} belong to another fit; {len(moved)} of {len(origin)} inputs differ: "
            f"{'; '.join(moved)}. Nothing was trained. Run with their inputs to resume, or delete that folder to start "
            "over."
        )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
