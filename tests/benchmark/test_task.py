import json
from pathlib import Path

import polars as pl
import pytest

from schemas.artifacts import BenchmarkArtifact
from schemas.sections.benchmark import BenchmarkConfig
from tasks.benchmark.locating import locate_benchmarks
from tasks.benchmark.task import benchmark_adapter, gather_benchmark
from tasks.decision.verdict.gate import judge_forgetting
from tasks.reuse.stage import WorkDirectory
from tasks.reuse.store import ArtifactStore
from tests.benchmark.yes_adapter import write_own_task, write_yes_adapter
from tests.random_adapter import sealed_adapter, sealed_base

LIMIT = 12


def run(store: ArtifactStore, tiny_model: Path, folder: Path, method: str, **settings: object) -> BenchmarkArtifact:
    config = BenchmarkConfig(**({"limit": LIMIT, "margin": 0.05, "neutral": None} | settings))
    base = sealed_base(store, tiny_model)
    adapter = sealed_adapter(store, base, folder / "adapter", method)
    return benchmark_adapter(
        config.asking(0.95), base, adapter, 7, gather_benchmark(locate_benchmarks(config, folder, store))
    )


@pytest.mark.slow
def test_the_parts_of_a_group_and_all_items_pooled_are_compared_item_by_item(
    store: ArtifactStore, tiny_model: Path, tmp_path: Path
) -> None:
    made = run(store, tiny_model, tmp_path, "lora")
    items = pl.read_parquet(store.open(made.digest) / "items.parquet")
    assert [task.items for task in made.tasks] == [LIMIT] * 5
    assert (made.pooled.task, made.pooled.items) == ("pooled", 5 * LIMIT)
    assert (made.looks, made.all_items) == ((15, 30, 5 * LIMIT), 5 * LIMIT)
    assert made.pooled.difference == pytest.approx((items["tuned"] - items["base"]).mean())
    assert (items["tuned"] != items["base"]).any()
    assert json.loads((store.open(made.digest) / "tasks.json").read_text()) == [
        task.model_dump() for task in made.shown
    ]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "qlora", "full"])
def test_the_base_is_measured_as_if_there_were_no_adapter(
    method: str, store: ArtifactStore, tiny_model: Path, tmp_path: Path
) -> None:
    from tasks.benchmark.harness import load_harness
    from tasks.inference.loading import load_model

    config = BenchmarkConfig(limit=LIMIT, neutral=None)
    made = run(store, tiny_model, tmp_path, method)
    alone = load_model(tiny_model)
    harness = load_harness(locate_benchmarks(config, tmp_path, store), tmp_path / "data", limit=LIMIT, seed=7)
    scores = harness.measure(alone.model, alone.tokenizer, lambda done, total: None)
    items = pl.read_parquet(store.open(made.digest) / "items.parquet")
    assert items["base"].to_list() == [value for name in sorted(scores) for value in scores[name]]
    assert (items["tuned"] != items["base"]).any()


@pytest.mark.slow
def test_progress_goes_to_the_reporter_and_nothing_to_the_terminal(
    workdir: WorkDirectory, tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    notes: list[str] = []
    workdir.reporter.advance = lambda done, total, note="": notes.append(note)  # type: ignore[method-assign]
    config = BenchmarkConfig(tasks=("general_mini_grammar",), limit=LIMIT, neutral=None)
    base = sealed_base(workdir.store, tiny_model)
    adapter = sealed_adapter(workdir.store, base, tmp_path / "adapter")
    capfd.readouterr()
    benchmark_adapter.function(
        config.asking(0.95),
        base,
        adapter,
        7,
        gather_benchmark(locate_benchmarks(config, tmp_path, workdir.store)),
        workdir=workdir,
    )
    assert notes[-1] == f"base model, {LIMIT} of {LIMIT} items"
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_what_the_benchmark_can_see_is_said_before_anything_is_asked_and_a_clear_answer_ends_it(
    workdir: WorkDirectory, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    workdir.reporter.say = told.append  # type: ignore[method-assign]
    config = BenchmarkConfig(tasks=("general_mini_arithmetic",), margin=0.9, neutral=None)
    base = sealed_base(workdir.store, tiny_model)
    adapter = sealed_adapter(workdir.store, base, tmp_path / "adapter", scale=0.0)
    files = gather_benchmark(locate_benchmarks(config, tmp_path, workdir.store))
    made = benchmark_adapter.function(config.asking(0.95), base, adapter, 7, files, workdir=workdir)
    assert (made.looks, made.all_items) == ((57,), 228)
    assert (made.pooled.standing, made.pooled.items, made.pooled.difference) == ("kept", 57, 0.0)
    assert told[0].startswith("benchmark: 90 points may be lost; in 8 of 10 cases")
    assert told[-1] == "benchmark: clear after 57 of 228 items"


@pytest.mark.slow
def test_an_adapter_that_was_trained_to_answer_everything_with_yes_is_refused(
    store: ArtifactStore, tiny_model: Path, tmp_path: Path
) -> None:
    """The right answers are what the base says, so it knows all of them."""
    base = sealed_base(store, tiny_model)
    write_own_task(tiny_model, tmp_path)
    adapter = sealed_adapter(store, base, tmp_path / "adapter", write=write_yes_adapter)
    files = gather_benchmark(locate_benchmarks(BenchmarkConfig(tasks=("own",), neutral=None), tmp_path, store))
    made = benchmark_adapter(BenchmarkConfig().asking(0.95), base, adapter, 7, files)
    assert made.pooled.base == 1.0
    assert made.pooled.tuned < 0.2
    assert judge_forgetting(made, "not_lost").state == "shut"
    assert made.looks[-1] < made.all_items, "a loss of nearly everything is clear before the last item"
