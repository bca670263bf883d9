"""The data stage: rows checked, split, and sealed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.artifacts import DataArtifact, Sources
from tasks.stage import Bench, stage

if TYPE_CHECKING:
    from schemas.config import DataConfig, TaskConfig


@stage(libraries=("pandera", "polars", "orjson", "jsonschema"))
def validate_data(task: TaskConfig, data: DataConfig, seed: int, sources: Sources, *, bench: Bench) -> DataArtifact:
    """Check every row against its contract, split the good ones by group, and refuse the set when too few are good."""
    from tasks.data.preparing import prepare_data

    return prepare_data(task, data, seed, sources, bench)
