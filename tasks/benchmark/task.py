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
    is clear; keep every item, and the paired difference of every task and of all items pooled.
    """
    import json

    from tasks.benchmark.asking import ask_until_clear
    from tasks.benchmark.gathering import gathered
    from tasks.benchmark.harness import load_harness
    from tasks.inference.loading import AdapterFolder

    harness = load_harness(gathered(workdir.open(files)), workdir.folder / "tasks", limit=asking.limit, seed=seed)
    fitted = AdapterFolder(workdir.open(adapter) / "best", adapter.method)
    found, items = ask_until_clear(harness, workdir.open(base), fitted, asking, workdir.reporter)
    items.write_parquet(workdir.out / "items.parquet")
    rows = [task.model_dump() for task in found.shown]
    (workdir.out / "tasks.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return found
