"""The data stage: rows checked, split, and sealed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.artifacts import BenchmarkSources, DataArtifact, LeakageArtifact, ModelArtifact, RenderingArtifact, Sources
from tasks.stage import Bench, stage

if TYPE_CHECKING:
    from pathlib import Path

    from schemas.config import DataConfig
    from schemas.task_config import TaskConfig


@stage(libraries=("pandera", "polars", "orjson", "jsonschema", "ftfy", "pycld2", "rensa", "numpy"))
def validate_data(task: TaskConfig, data: DataConfig, seed: int, sources: Sources, *, bench: Bench) -> DataArtifact:
    """Check every row against its contract, split the good ones by group, and refuse the set when too few are good."""
    from tasks.data.preparing import prepare_data

    return prepare_data(task, data, seed, sources, bench)


@stage(libraries=("polars", "orjson", "numpy"))
def check_leakage(data: DataArtifact, benchmark: BenchmarkSources, *, bench: Bench) -> LeakageArtifact:
    """Find the train rows that hold a benchmark's items; a stage of its own, so that another benchmark makes no rows be checked again."""
    from tasks.data.benchmark_items import find_leaks

    return find_leaks(bench.open(data), benchmark, bench.out, bench.audience)


@stage(libraries=("transformers", "tokenizers", "jinja2", "polars"))
def check_rendering(task: TaskConfig, base: ModelArtifact, data: DataArtifact, max_length: int | None, *, bench: Bench) -> RenderingArtifact:
    """Render every row as training and the arms will, and refuse what would be cut or could not be learned; `max_length` is None where nothing is trained."""
    from tasks.data.rendered import check_rows

    return check_rows(bench.open(base), bench.open(data), task.instruction, max_length, bench)


def write_mended_copy(sources: Sources, out: Path) -> dict[str, int]:
    """Write a mended copy of the rows to `out`, never in place, and return how many rows each mend touched; no stage, since nobody builds on it."""
    from tasks.data.mending import mend_rows

    return mend_rows(sources.rows, out)
