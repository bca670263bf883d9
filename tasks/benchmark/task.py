"""The benchmark stage: what did the adapter forget?"""

from __future__ import annotations

from schemas.artifacts import AdapterArtifact, BenchmarkArtifact, BenchmarkFilesArtifact, ModelArtifact
from schemas.sources import BenchmarkSources
from tasks.reuse.stage import WorkDirectory, stage


@stage()
def gather_benchmark(sources: BenchmarkSources, *, workdir: WorkDirectory) -> BenchmarkFilesArtifact:
    """Put the benchmark's files into the store, where the machine with the card finds them."""
    from tasks.benchmark.gathering import gather_files

    gather_files(sources, workdir.out)
    return BenchmarkFilesArtifact(names=sources.names)


@stage(libraries=("lm_eval", "transformers", "torch", "peft", "bitsandbytes", "datasets"))
def benchmark_adapter(
    limit: int | None,
    confidence: float,
    base: ModelArtifact,
    adapter: AdapterArtifact,
    seed: int,
    files: BenchmarkFilesArtifact,
    *,
    workdir: WorkDirectory,
) -> BenchmarkArtifact:
    """Measure base and tuned model on the same benchmark items in one process; keep every item, and the paired
    difference of every task.
    """
    import json

    from tasks.benchmark.forgetting import compare_tasks, write_items
    from tasks.benchmark.gathering import gathered
    from tasks.benchmark.harness import load_harness
    from tasks.benchmark.measuring import measure_both

    harness = load_harness(gathered(workdir.open(files)), workdir.folder / "tasks", limit=limit, seed=seed)
    before, after = measure_both(
        harness, workdir.open(base), workdir.open(adapter) / "best", adapter.method, workdir.reporter
    )
    tasks = compare_tasks(before, after, harness.groups, confidence=confidence)
    write_items(before, after, workdir.out / "items.parquet")
    (workdir.out / "tasks.json").write_text(
        json.dumps([task.model_dump() for task in tasks], indent=1), encoding="utf-8"
    )
    return BenchmarkArtifact(tasks=tasks)
