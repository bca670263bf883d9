"""The benchmark stage: what did the adapter forget?"""

from __future__ import annotations

from schemas.artifacts import AdapterArtifact, BenchmarkArtifact, BenchmarkFilesArtifact, ModelArtifact
from schemas.sections.benchmark import Asking
from schemas.sources import BenchmarkSources
from tasks.reuse.stage import WorkDirectory, stage


@stage()
def gather_benchmark(sources: BenchmarkSources, *, workdir: WorkDirectory) -> BenchmarkFilesArtifact:
    """Put the benchmark's files into the store, where the machine with the card finds them."""
    from tasks.benchmark.gathering import gather_files

    gather_files(sources, workdir.out)
    return BenchmarkFilesArtifact(names=sources.names)


@stage(libraries=("lm_eval", "transformers", "torch", "peft", "bitsandbytes", "datasets", "numpy", "scipy"))
def benchmark_adapter(
    asking: Asking,
    base: ModelArtifact,
    adapter: AdapterArtifact,
    seed: int,
    files: BenchmarkFilesArtifact,
    *,
    workdir: WorkDirectory,
) -> BenchmarkArtifact:
    """Measure base and tuned model on the same benchmark items in one process, in growing portions until every answer
    is clear, and on all neutral texts; keep every item, and the paired difference of every task, of all items pooled
    and of the texts.
    """
    import json
    from pathlib import Path

    from tasks.benchmark.asking import ask_until_clear
    from tasks.benchmark.gathering import gathered
    from tasks.benchmark.harness import load_harness
    from tasks.inference.loading import AdapterFolder
    from tasks.neutral import measured_texts, read_texts

    sources = gathered(workdir.open(files))
    texts = measured_texts(read_texts(Path(sources.neutral.path))) if sources.neutral else []
    harness = load_harness(sources, workdir.folder / "tasks", limit=asking.limit, seed=seed)
    fitted = AdapterFolder(workdir.open(adapter) / "best", adapter.method)
    found, tables = ask_until_clear(harness, workdir.open(base), fitted, asking, workdir.reporter, texts)
    if found.neutral:
        found = found.model_copy(update={"neutral": found.neutral.model_copy(update={"replay": adapter.replay})})
    for name, table in tables.items():
        table.write_parquet(workdir.out / f"{name}.parquet")
    rows = [task.model_dump() for task in found.shown]
    (workdir.out / "tasks.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return found
