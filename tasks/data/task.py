"""The data stage: rows checked, split, and sealed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.artifacts import (
    BenchmarkSources,
    DataArtifact,
    DataReportArtifact,
    LeakageArtifact,
    LearnedRowsArtifact,
    ModelArtifact,
    RenderingArtifact,
    SourceFile,
    Sources,
)
from tasks.reuse.stage import WorkDirectory, stage

if TYPE_CHECKING:
    from pathlib import Path

    from schemas.champion import SplitRule
    from schemas.config import DataConfig
    from schemas.task_config import TaskConfig
    from tasks.data.checking.fixing import FixedCopy

PERSONAL = (
    "phonenumberslite",
    "python-stdnum",
    "detect-secrets",
)  # the extra `personal`; "missing" in the key where it is not installed


@stage(
    libraries=("pandera", "polars", "orjson", "jsonschema", "ftfy", "pycld2", "rensa", "numpy", "pyarrow", *PERSONAL)
)
def validate_data(
    task: TaskConfig, data: DataConfig, seed: int, sources: Sources, *, workdir: WorkDirectory
) -> DataArtifact:
    """Check every row against its contract, split the good ones by group, and refuse the set when too few are good."""
    from tasks.data.preparing import prepare_data

    return prepare_data(task, data, seed, sources, workdir)


@stage(libraries=("polars", "orjson", "numpy", "pyarrow"))
def check_leakage(
    data: DataArtifact,
    benchmark: BenchmarkSources,
    cached: dict[str, tuple[SourceFile, ...]],
    *,
    workdir: WorkDirectory,
) -> LeakageArtifact:
    """Find the train rows that hold a benchmark's items; a stage of its own, so that another benchmark makes no rows be
    checked again.

    `cached` are the files of the benchmark's hub data that are on this machine, by data set.
    """
    from tasks.data.overlap.benchmark_items import find_leaks

    return find_leaks(workdir.open(data), benchmark, cached, workdir.out, workdir.reporter)


@stage(libraries=("transformers", "tokenizers", "jinja2", "polars"))
def check_rendering(
    task: TaskConfig, base: ModelArtifact, data: DataArtifact, max_length: int | None, *, workdir: WorkDirectory
) -> RenderingArtifact:
    """Render every row as training and the arms will, and refuse what would be cut or could not be learned;
    `max_length` is None where nothing is trained.
    """
    from tasks.data.checking.rendered import check_rows

    return check_rows(workdir.open(base), workdir.open(data), task.instruction, max_length, workdir)


@stage(libraries=("polars", "numpy", "rensa"))
def find_learned_rows(
    data: DataArtifact,
    limit: int | None,
    learned: str | None,
    was: SplitRule | None,
    group: str | None,
    near_duplicate: float,
    *,
    workdir: WorkDirectory,
) -> LearnedRowsArtifact:
    """Find today's held-out rows (the first `limit` of them) that a champion learned; they must not count for it.

    `learned` is the digest of the data that it was fitted on, None where the store has lost them; then how they were
    split (`was`) has to tell.
    """
    from tasks.data.overlap.learned import HowSplit, learned_rows

    return learned_rows(
        workdir.open(data),
        limit,
        workdir.store.open(learned) if learned else None,
        HowSplit(was, group, near_duplicate),
        workdir.out,
    )


@stage(libraries=("polars", "matplotlib", "jinja2", "numpy"))
def write_data_report(
    name: str,
    data: DataArtifact,
    earlier: DataArtifact | None,
    rendering: RenderingArtifact | None,
    leakage: LeakageArtifact | None,
    *,
    workdir: WorkDirectory,
) -> DataReportArtifact:
    """Write what a person reads of the rows; `earlier` is the data that the run had before, `rendering` None where no
    base is at hand.
    """
    from tasks.data.reporting.report_page import gather, write_data_pages

    folder = workdir.open(data)
    facts = gather(
        name,
        (data, folder),
        workdir.open(earlier) if earlier else None,
        (rendering, workdir.open(rendering)) if rendering else None,
        (leakage, workdir.open(leakage)) if leakage else None,
    )
    return DataReportArtifact(headline=write_data_pages(facts, folder, workdir.out))


def write_refused_report(name: str, workdir: Path, headline: str) -> Path | None:
    """Write a page on a data set that was refused into its stage's workdir, and return its path; None where nothing
    lies there.
    """
    from tasks.data.reporting.report_page import write_refused_page

    refused = workdir / "refused.parquet"
    return write_refused_page(name, refused, headline) if refused.exists() else None


def write_fixed_copy(sources: Sources, out: Path) -> FixedCopy:
    """Write a mended copy of the rows to `out`, never in place, and return what was done to how many rows; no stage,
    since nobody builds on it.
    """
    from tasks.data.checking.fixing import fix_rows

    return fix_rows(sources.rows, out)
