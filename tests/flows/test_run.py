"""The whole run through the real command line: a verdict out, nothing done twice, no torch where nothing is to be
done.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from flows.command_line.main import main
from flows.finetune import finetune
from flows.inputs.config_file import read_config
from tasks.reuse.planning import planning
from tests.flows.conftest import tuneworthy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

NO_TORCH = (
    "import sys; from flows.command_line.main import main; code = main(); heavy = {'torch', 'transformers', "
    "'mlflow', 'lm_eval'} & set(sys.modules); "
    "sys.exit(f'imported {heavy}' if heavy else code)"
)


def test_a_run_ends_with_a_verdict_on_all_arms_and_a_benchmark(finished: tuple[Path, Path, Any]) -> None:
    _, _, process = finished
    assert process.returncode == 0, process.stderr
    answer = json.loads(process.stdout)
    assert [arm["arm"] for arm in answer["verdict"]["arms"]] == [
        "prompt",
        "few_shot",
        "retrieval",
        "tuned",
        "tuned_retrieval",
    ]
    assert {task["task"] for task in answer["verdict"]["gate"]["tasks"]} >= {
        "general_mini_grammar",
        "general_mini_choices",
    }
    assert {part["column"] for part in answer["verdict"]["slices"]} == {"group"}
    assert answer["is_all_hits"] is False
    assert (Path(answer["report"]).parent / "flips.parquet").is_file()
    assert Path(answer["report"]).read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_second_run_is_answered_from_the_store_without_torch_or_mlflow(finished: tuple[Path, Path, Any]) -> None:
    path, store, first = finished
    again = tuneworthy("run", path, "--json", store=store, code=NO_TORCH)
    assert again.returncode == 0, again.stderr
    one, two = json.loads(first.stdout), json.loads(again.stdout)
    assert two["is_all_hits"] is True
    assert two["verdict"] == one["verdict"]
    assert [stage["key"] for stage in two["stages"]] == [stage["key"] for stage in one["stages"]]


def test_a_plan_of_a_finished_run_is_all_hits(finished: tuple[Path, Path, Any]) -> None:
    path, store, _ = finished
    plan = tuneworthy("plan", path, "--json", store=store, code=NO_TORCH)
    assert json.loads(plan.stdout)["is_all_hits"] is True


def test_a_plan_that_trains_tells_what_each_method_would_take_without_loading_torch(
    finished: tuple[Path, Path, Any],
) -> None:
    path, store, _ = finished
    plan = tuneworthy("plan", path, "--set", "training.rank=8", "--json", store=store, code=NO_TORCH)
    assert plan.returncode == 0, plan.stderr
    methods = {line["method"]: line for line in json.loads(plan.stdout)["training"]["methods"]}
    assert list(methods) == ["full", "lora", "qlora"]
    assert methods["lora"]["minutes"] > 0 and methods["full"]["minutes"] is None
    assert methods["lora"]["process_bytes"] > 100e6
    shown = tuneworthy("plan", path, "--set", "training.rank=8", store=store, code=NO_TORCH)
    assert "lora *" in shown.stdout and "unknown" in shown.stdout
    assert "it notices a loss of" in shown.stdout and "on all 30 items" in shown.stdout
    assert (
        f"artifacts and records to {store}; a run of experiment small to the store's mlflow.db; a version of small, if"
        in shown.stdout
    )


@pytest.mark.parametrize(
    ("override", "first_to_run"),
    [
        ("training.rank=8", {"train_adapter"}),
        ("arms.few_shot.shots=3", {"score_arm[few_shot]"}),
        ("arms.retrieval.top_k=2", {"score_arm[retrieval]", "score_arm[tuned_retrieval]"}),
        ("decision.worth=0.5", {"decide[untrained]", "decide"}),
        ("benchmark.margin=0.5", {"benchmark_adapter"}),
        ("benchmark.require=not_lost", {"decide"}),
        ("benchmark.limit=5", {"benchmark_adapter"}),
        ("benchmark.neutral_margin=0.5", {"benchmark_adapter"}),
        ("data.held_out=0.4", {"validate_data"}),
        ("registry.model=other", set()),
        ("training.checkpoint_minutes=1", set()),
        ("training.gradient_checkpointing=always", set()),
    ],
)
def test_a_changed_setting_runs_only_what_reads_it(
    finished: tuple[Path, Path, Any], monkeypatch: pytest.MonkeyPatch, override: str, first_to_run: set[str]
) -> None:
    path, store, _ = finished
    monkeypatch.setenv("TUNEWORTHY_STORE", str(store))
    with planning() as plan:
        finetune.fn(read_config(path, [override]))
    assert {stage.label for stage in plan.stages if stage.outlook == "will run"} - {"register_adapter"} == first_to_run


def test_an_mlflow_that_is_away_costs_the_registration_only_and_a_rerun_does_just_that(
    finished: tuple[Path, Path, Any], migrated_database: Path, tmp_path: Path
) -> None:
    path, store, first = finished
    own = shutil.copytree(store, tmp_path / "store")
    shutil.copytree(store.parent / "prefect", tmp_path / "prefect")
    shutil.copy(migrated_database, tmp_path / "mlflow.db")
    away = tuneworthy("run", path, "--json", store=own, MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    answer = json.loads(away.stdout)
    assert (away.returncode, answer["error"]) == (5, "RegistryUnreachable")
    assert "127.0.0.1:9" in away.stderr
    assert answer["verdict"] | {"champion_note": ""} == json.loads(first.stdout)["verdict"] | {"champion_note": ""}
    assert "does not answer" in answer["verdict"]["champion_note"]
    again = tuneworthy("run", path, "--json", store=own, MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert again.returncode == 0, again.stderr
    ran = {line.split()[1] for line in again.stderr.splitlines() if line.startswith("●")}
    assert ran <= {"track_verdict", "register_adapter"}
    assert "track_verdict" in ran


@pytest.mark.slow
def test_a_comparison_tells_what_a_grammar_alone_gives(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arms, pattern = "arms.untrained=[prompt, prompt+grammar]", "task.answer={format: text, pattern: '[a-z 0-9;=]+'}"
    assert main(["compare", str(small), "--json", "--set", arms, "--set", pattern]) == 0
    assert "a grammar alone gives prompt" in capsys.readouterr().out
