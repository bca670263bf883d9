"""A benchmark's files as an artifact, so that any machine that shares the store can ask the same questions."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from schemas.errors import TransientFault
from schemas.sources import BenchmarkSources
from tasks.reuse.store import sha256_of

INDEX = "sources.json"
NEUTRAL = "neutral.jsonl"


def gather_files(sources: BenchmarkSources, out: Path) -> None:
    """Copy the files into `out`, as they lie to each other: a task file finds its data and code by relative paths.

    Raises:
        TransientFault: a file changed since the run began.
    """
    neutral = (sources.neutral,) if sources.neutral else ()
    changed = [file.path for file in (*sources.files, *neutral) if sha256_of(Path(file.path)) != file.digest]
    if changed:
        raise TransientFault(f"Benchmark files changed while the run was going: {', '.join(changed)}. Run again.")
    above = os.path.commonpath([str(Path(file.path).parent) for file in sources.files]) if sources.files else ""
    placed = []
    for file in sources.files:
        place = Path("files") / os.path.relpath(file.path, above)
        (out / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.path, out / place)
        placed.append(file.model_copy(update={"path": str(place)}))
    for file in neutral:
        shutil.copyfile(file.path, out / NEUTRAL)
    own = sources.neutral and sources.neutral.model_copy(update={"path": NEUTRAL})
    index = sources.model_copy(update={"files": tuple(placed), "neutral": own})
    (out / INDEX).write_text(index.model_dump_json(indent=1), encoding="utf-8")


def gathered(folder: Path) -> BenchmarkSources:
    """Return what was gathered, as it lies in an opened artifact."""
    sources = BenchmarkSources.model_validate_json((folder / INDEX).read_text(encoding="utf-8"))
    files = tuple(file.model_copy(update={"path": str(folder / file.path)}) for file in sources.files)
    neutral = sources.neutral and sources.neutral.model_copy(update={"path": str(folder / sources.neutral.path)})
    return sources.model_copy(update={"files": files, "neutral": neutral})
