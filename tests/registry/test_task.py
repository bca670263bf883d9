"""What the registry's stages write to MLflow, however often they run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tasks.registry.connection import open_registry
from tasks.registry.mlflow_registry import Candidate, ensure_model, register
from tests.before_registry import MODEL, Made, a_gate, a_verdict


def test_a_verdict_becomes_one_run_with_its_numbers_digests_curve_and_report(made: Made) -> None:
    tracked = made.track(a_verdict(0.85))
    with open_registry("", made.store, "") as registry:
        run = registry.client.get_run(tracked.run_id)
        curve = [
            (metric.step, metric.value) for metric in registry.client.get_metric_history(tracked.run_id, "train/loss")
        ]
        files = {file.path for file in registry.client.list_artifacts(tracked.run_id)}
    assert run.data.metrics["arm/tuned/gain"] == 0.3
    assert run.data.metrics["train/validation_loss"] == 1.75
    assert run.data.tags["adapter_digest"] == made.adapter.digest
    assert run.data.tags["arm.prompt_digest"] == "a" * 64
    assert curve == [(1, 2.5), (2, 1.5)]
    assert files == {"report.html", "verdict.json"}


def test_a_version_says_on_which_benchmark_tasks_forgetting_is_inconclusive(made: Made) -> None:
    made.register(a_verdict(0.85).model_copy(update={"gate": a_gate()}))
    with open_registry("", made.store, "") as registry:
        version = registry.client.get_model_version_by_alias(MODEL, "champion")
        (run,) = registry.client.search_runs([registry.experiment("tiny")])
    counts = "of 1 benchmark task, 0 within the margin of 0.05, 1 inconclusive (facts)"
    assert version.description == f"Tuning earns its place. Gate open: {counts}."
    assert run.data.metrics["benchmark/facts/is_passed"] == 1


def test_registering_an_adapter_twice_makes_one_version_that_tells_of_the_newest_verdict(made: Made) -> None:
    first = made.register(a_verdict(0.85))
    second = made.register(a_verdict(0.86))
    assert (first.version, second.version, second.alias) == ("1", "1", "champion")
    with open_registry("", made.store, "") as registry:
        assert len(registry.client.search_model_versions(f"name = '{MODEL}'")) == 1
        version = registry.client.get_model_version_by_alias(MODEL, f"sha-{made.adapter.digest}")
    assert version.tags["score"] == "0.860000"
    expected = {
        "adapter_digest": made.adapter.digest,
        "base_digest": made.base.digest,
        "data_digest": "d" * 64,
        "config_digest": "c" * 64,
        "arm": "tuned",
        "verdict": "finetune",
    }
    assert {name: version.tags[name] for name in expected} == expected
    assert version.tags["template_digest"] == made.base.template_digest


def test_two_processes_that_register_one_adapter_at_once_leave_one_version(made: Made, tmp_path: Path) -> None:
    """The second registers from beginning to end while the first, which found no version, is still packing its own."""
    run = made.track(a_verdict(0.85)).run_id
    candidate = Candidate(MODEL, made.adapter.digest, {"score": "0.85"}, "text", run)
    with open_registry("", made.store, "") as registry:
        ensure_model(registry, MODEL)

        def pack(folder: Path) -> None:
            folder.mkdir()
            (folder / "MLmodel").write_text("flavors: {}")

        def pack_slowly(folder: Path) -> None:
            assert register(registry, candidate, "tiny", tmp_path / "quick", pack) == "1"
            pack(folder)

        assert register(registry, candidate, "tiny", tmp_path / "slow", pack_slowly) == "1"
        assert [str(version.version) for version in registry.client.search_model_versions(f"name = '{MODEL}'")] == ["1"]


def test_a_run_that_an_earlier_attempt_left_half_written_is_written_anew(made: Made) -> None:
    verdict = a_verdict(0.85)
    page = made.decided(verdict)[1]
    with open_registry("", made.store, "") as registry:
        half = registry.client.create_run(registry.experiment("tiny"), tags={"identity": page.digest}).info.run_id
    tracked = made.track(verdict)
    with open_registry("", made.store, "") as registry:
        runs = [run.info.run_id for run in registry.client.search_runs([registry.experiment("tiny")])]
    assert runs == [tracked.run_id]
    assert half != tracked.run_id


def test_the_registry_says_nothing_on_the_terminal_and_leaves_the_process_as_it_was(
    made: Made, capfd: pytest.CaptureFixture[str]
) -> None:
    before = dict(os.environ)
    capfd.readouterr()
    made.register(a_verdict(0.85))
    assert capfd.readouterr() == ("", "")
    assert dict(os.environ) == before
    import mlflow

    assert not mlflow.is_tracking_uri_set()
