import json
from pathlib import Path

import polars as pl
import pytest

from schemas.artifacts import BenchmarkArtifact
from schemas.sections.benchmark import BenchmarkConfig
from tasks.benchmark.locating import locate_benchmarks
from tasks.benchmark.task import benchmark_adapter, gather_benchmark
from tasks.reuse.stage import WorkDirectory
from tasks.reuse.store import ArtifactStore
from tests.random_adapter import sealed_adapter, sealed_base

LIMIT = 12


def run(store: ArtifactStore, tiny_model: Path, folder: Path, method: str, **settings: object) -> BenchmarkArtifact:
    config = BenchmarkConfig(**({"limit": LIMIT, "margin": 0.05} | settings))
    base = sealed_base(store, tiny_model)
    adapter = sealed_adapter(store, base, folder / "adapter", method)
    return benchmark_adapter(
        config.limit, 0.95, base, adapter, 7, gather_benchmark(locate_benchmarks(config, folder, store))
    )


def test_the_parts_of_a_group_and_the_group_itself_are_compared_item_by_item(
    store: ArtifactStore, tiny_model: Path, tmp_path: Path
) -> None:
    made = run(store, tiny_model, tmp_path, "lora")
    items = pl.read_parquet(store.open(made.digest) / "items.parquet")
    assert [task.items for task in made.tasks] == [LIMIT] * 4 + [4 * LIMIT]
    assert made.tasks[-1].task == "general_mini"
    assert made.tasks[-1].difference == pytest.approx((items["tuned"] - items["base"]).mean())
    assert (items["tuned"] != items["base"]).any()
    assert json.loads((store.open(made.digest) / "tasks.json").read_text()) == [
        task.model_dump() for task in made.tasks
    ]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "qlora", "full"])
def test_the_base_is_measured_as_if_there_were_no_adapter(
    method: str, store: ArtifactStore, tiny_model: Path, tmp_path: Path
) -> None:
    from tasks.benchmark.harness import load_harness
    from tasks.inference.loading import load_model

    config = BenchmarkConfig(limit=LIMIT)
    made = run(store, tiny_model, tmp_path, method)
    alone = load_model(tiny_model)
    harness = load_harness(locate_benchmarks(config, tmp_path, store), tmp_path / "data", limit=LIMIT, seed=7)
    scores = harness.measure(alone.model, alone.tokenizer, lambda done, total: None)
    items = pl.read_parquet(store.open(made.digest) / "items.parquet")
    assert items["base"].to_list() == [value for name in sorted(scores) for value in scores[name]]
    assert (items["tuned"] != items["base"]).any()


def test_progress_goes_to_the_reporter_and_nothing_to_the_terminal(
    workdir: WorkDirectory, tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    notes: list[str] = []
    workdir.reporter.advance = lambda done, total, note="": notes.append(note)  # type: ignore[method-assign]
    config = BenchmarkConfig(tasks=("general_mini_grammar",), limit=LIMIT)
    base = sealed_base(workdir.store, tiny_model)
    adapter = sealed_adapter(workdir.store, base, tmp_path / "adapter")
    capfd.readouterr()
    benchmark_adapter.function(
        config.limit,
        0.95,
        base,
        adapter,
        7,
        gather_benchmark(locate_benchmarks(config, tmp_path, workdir.store)),
        workdir=workdir,
    )
    assert notes[-1] == f"base model, {2 * LIMIT} of {2 * LIMIT} requests"
    assert capfd.readouterr() == ("", "")
