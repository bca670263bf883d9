"""The data stages: checking, splitting and reporting on the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.artifacts import (
    DataArtifact,
    DataReportArtifact,
    LabelsArtifact,
    LeakageArtifact,
    ModelArtifact,
    RenderingArtifact,
    SlicesArtifact,
)
from schemas.champion import LearnedRowsArtifact
from schemas.errors import DatasetRefused
from schemas.sources import BaseSource, BenchmarkSources, SourceFile, Sources
from tasks.reuse.stage import WorkDirectory, stage

if TYPE_CHECKING:
    from pathlib import Path

    from schemas.champion import SplitRule
    from schemas.sections.arms import RetrievalConfig
    from schemas.sections.data import DataConfig
    from schemas.sections.endpoints import EndpointConfig
    from schemas.sections.task import TaskConfig
    from tasks.data.checking.fixing import FixedCopy

PERSONAL = (
    "phonenumberslite",
    "python-stdnum",
    "detect-secrets",
)  # the extra `personal`; "missing" in the key where it is not installed


@stage(libraries=("polars", "orjson", "jsonschema", *PERSONAL))
def label_rows(
    task: TaskConfig,
    data: DataConfig,
    teacher: EndpointConfig,
    max_new_tokens: int,
    sources: Sources,
    *,
    workdir: WorkDirectory,
) -> LabelsArtifact:
    """Let a teacher answer the rows that have a request only; answers that came are kept in the store and never asked
    for again.
    """
    from tasks.data.labelling import label

    return label(task, data, teacher, max_new_tokens, sources, workdir)


@stage(
    libraries=("pandera", "polars", "orjson", "jsonschema", "ftfy", "pycld2", "rensa", "numpy", "pyarrow", *PERSONAL)
)
def validate_data(
    task: TaskConfig, data: DataConfig, seed: int, sources: Sources, thinking: str = "off",
    objective: str | None = None, labels: LabelsArtifact | None = None, *, workdir: WorkDirectory,
) -> DataArtifact:  # fmt: skip
    """Check every row against its contract, split the rows that pass by group, and refuse the dataset if too few do.

    `thinking` is base.thinking: what becomes of reasoning traces; `objective` is training.objective: what becomes of
    rejected and unwanted answers; `labels` are a teacher's answers to the rows without one.
    """
    from tasks.data.preparing import prepare_data

    try:
        return prepare_data(task, data, seed, sources, workdir, thinking, objective, labels)
    except DatasetRefused as refusal:
        from tasks.data.checking.refusing import dataset_name
        from tasks.data.reporting.report_page import write_refused_page

        refused = workdir.folder / "refused.parquet"
        if not refused.exists():
            raise
        page = write_refused_page(dataset_name(sources.rows), refused, str(refusal).partition(". ")[0])
        raise DatasetRefused(f"{refusal}\n  Examples of each reason: {page}") from refusal


@stage(libraries=("polars", "orjson"))
def read_slices(
    columns: tuple[str, ...], data: DataArtifact, sources: tuple[SourceFile, ...], *, workdir: WorkDirectory
) -> SlicesArtifact:
    """Read the columns that slice held-out rows: apart, so that another slice neither splits nor trains again."""
    from tasks.data.reading.slices import write_slices

    return write_slices(columns, workdir.open(data), sources, workdir)


@stage(libraries=("polars", "orjson", "numpy", "pyarrow"))
def check_leakage(
    data: DataArtifact,
    benchmark: BenchmarkSources,
    cached: dict[str, tuple[SourceFile, ...]],
    *,
    workdir: WorkDirectory,
) -> LeakageArtifact:
    """Find the train rows that contain a benchmark's items; a separate stage, so that another benchmark does not cause
    the rows to be checked again.

    `cached` maps each hub dataset of the benchmark to its files on this machine.
    """
    from tasks.data.overlap.benchmark_items import find_leaks

    return find_leaks(workdir.open(data), benchmark, cached, workdir.out, workdir.reporter)


@stage(libraries=("transformers", "tokenizers", "jinja2", "polars", "bm25s", "PyStemmer"))
def check_rendering(
    task: TaskConfig,
    base: ModelArtifact,
    data: DataArtifact,
    max_length: int | None,
    retrieval: RetrievalConfig | None = None,
    max_new_tokens: int | None = None,
    longer_answers: float = 1.0,
    *,
    workdir: WorkDirectory,
) -> RenderingArtifact:
    """Render every row as training and the arms will, and refuse rows that would be truncated or could not be learned.

    `max_length` is None if nothing is trained; with `retrieval` (training.context) rows show what is retrieved for
    them. More than the share `longer_answers` of held-out answers over `max_new_tokens` is refused too.
    """
    from tasks.data.checking.rendered import check_rows
    from tasks.data.checking.row_limits import Limits
    from tasks.inference.prompts.retrieval_index import retrieved_from

    folder, context = workdir.open(data), None
    if retrieval is not None:
        words = retrieval.passage_words if data.documents else None
        how = retrieval.index_language(data.language), retrieval.search
        context = retrieved_from(folder, retrieval.top_k, words, *how)
    limits = Limits(0, max_length, max_new_tokens, longer_answers)
    return check_rows(workdir.open(base), folder, task.instruction, limits, workdir, context)


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
    """Find today's held-out rows (among the first `limit`) that a champion learned; they must not count in its favour.

    `learned` is the digest of the data that it was fitted on. It is None if the store no longer has that data; then it
    is derived from how that data was split (`was`).
    """
    from tasks.data.overlap.learned import HowSplit, learned_rows

    return learned_rows(
        workdir.open(data),
        limit,
        workdir.store.open(learned) if learned else None,
        HowSplit(was, group, near_duplicate),
        workdir.out,
    )


@stage(libraries=("torch", "transformers", "tokenizers", "safetensors", "model2vec", "polars"))
def index_texts(passage_words: int, encoder: BaseSource, data: DataArtifact, *, workdir: WorkDirectory) -> DataArtifact:
    """Add to the data the vectors of its passages, or of its train requests where it has no documents, and their
    encoder; a stage of its own, so that another encoder moves only what retrieves.
    """
    from tasks.data.indexing import write_index

    words = passage_words if data.documents else None
    write_index(workdir.open(data), words, encoder, workdir.out, workdir.reporter)
    return data.model_copy(update={"digest": ""})


@stage(libraries=("polars",))
def take_share(data: DataArtifact, share: float, seed: int, *, workdir: WorkDirectory) -> DataArtifact:
    """Take a share of the train groups, for a learning curve; the held-out rows stay."""
    from tasks.data.shares import write_share

    return write_share(data, workdir.open(data), share, seed, workdir.out)


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
    """Write the report on the rows; `earlier` is the run's previous data, `rendering` None without a base model."""
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


def write_fixed_copy(sources: Sources, out: Path) -> FixedCopy:
    """Write a fixed copy of the rows to `out`, never in place, and return what was done; no stage, as none needs it."""
    from tasks.data.checking.fixing import fix_rows

    return fix_rows(sources.rows, out)
