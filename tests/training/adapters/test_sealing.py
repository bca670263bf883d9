"""What is sealed is loadable, equal from run to run, and says nothing about the machine."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
import torch
from transformers import AutoTokenizer

from schemas.artifacts import DataArtifact, ModelArtifact, RenderingArtifact
from schemas.errors import TuneworthyError
from schemas.sections.training import TrainingConfig
from tasks.inference.prompts.golden import GoldenRow, seal_golden
from tasks.reuse.stage import WorkDirectory
from tests.random_adapter import sealed_base
from tests.tampered_base import tampered
from tests.training.examples import RecordingReporter, fit, padded, sealed_digest, write_rows


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "full"])
def test_two_fits_seal_equal_bytes_and_no_path(tiny_model: Path, tmp_path: Path, method: str) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        fit(tiny_model, tmp_path / name / "workdir", method=method, epochs=1)
    assert sealed_digest(tmp_path / "one" / "workdir") == sealed_digest(tmp_path / "two" / "workdir")
    for path in (tmp_path / "one" / "workdir" / "out").rglob("*"):
        if path.is_file():
            assert (
                str(tmp_path).encode() not in path.read_bytes() and str(tiny_model).encode() not in path.read_bytes()
            ), path
            assert path.name != "README.md"


def test_the_adapter_config_names_the_base_and_its_revision(tiny_model: Path, tmp_path: Path) -> None:
    fit(tiny_model, tmp_path / "workdir", epochs=1)
    for kept in ("best", "last"):
        config = json.loads((tmp_path / "workdir" / "out" / kept / "adapter_config.json").read_text())
        assert (config["base_model_name_or_path"], config["revision"], config["lora_alpha"]) == ("tiny", "r1", 8)
        assert config["target_modules"] == sorted(config["target_modules"])


@pytest.mark.slow
def test_the_log_has_every_step_and_validation_and_no_clock(tiny_model: Path, tmp_path: Path) -> None:
    fitted = fit(tiny_model, tmp_path / "workdir", epochs=2, patience=9)
    log = [json.loads(line) for line in (tmp_path / "workdir" / "out" / "log.jsonl").read_text().splitlines()]
    steps = [entry for entry in log if "loss" in entry]
    assert [entry["step"] for entry in steps] == list(range(1, fitted.steps + 1))
    assert {key for entry in log for key in entry} == {
        "step",
        "epoch",
        "loss",
        "learning_rate",
        "tokens",
        "validation_loss",
    }
    assert sum("validation_loss" in entry for entry in log) == 2
    assert sum(entry["tokens"] for entry in steps) == fitted.train_tokens
    assert steps[0]["learning_rate"] < max(entry["learning_rate"] for entry in steps) > steps[-1]["learning_rate"]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "qlora", "full"])
def test_training_lowers_the_held_out_loss(tiny_model: Path, tmp_path: Path, method: str) -> None:
    fit(tiny_model, tmp_path / "workdir", epochs=4, method=method, learning_rate=2e-3 if method == "full" else 1e-2)
    log = [json.loads(line) for line in (tmp_path / "workdir" / "out" / "log.jsonl").read_text().splitlines()]
    losses = [entry["validation_loss"] for entry in log if "validation_loss" in entry]
    assert min(losses) < 0.9 * losses[0]


@pytest.mark.slow
def test_full_fine_tuning_in_bf16_lowers_the_train_loss(tiny_model: Path, tmp_path: Path) -> None:
    fit(tiny_model, tmp_path / "workdir", method="full", dtype=torch.bfloat16, learning_rate=1e-3, epochs=2)
    log = [json.loads(line) for line in (tmp_path / "workdir" / "out" / "log.jsonl").read_text().splitlines()]
    losses = [entry["loss"] for entry in log if "loss" in entry]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # peft asks transformers by an old name
def test_the_sealed_adapter_gives_the_validation_loss_it_was_kept_for(tiny_model: Path, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from tasks.training.rows import read_rows, split_validation

    rows = write_rows(tmp_path)
    fitted = fit(tiny_model, tmp_path / "workdir", rows=rows)
    model = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(tiny_model), tmp_path / "workdir" / "out" / "best"
    )
    _, held_out = split_validation(
        read_rows(rows, AutoTokenizer.from_pretrained(tiny_model), "Translate the question to one query."), 0.2, 7
    )
    with torch.no_grad():
        loss = padded(model, held_out).item() / sum(len(row.answer_ids) for row in held_out)
    assert loss == pytest.approx(fitted.validation_loss, abs=1e-5)


def test_without_validation_the_last_weights_are_the_best(tiny_model: Path, tmp_path: Path) -> None:
    fitted = fit(tiny_model, tmp_path / "workdir", epochs=1, validation=0)
    assert fitted.validation_loss is None
    sealed = sealed_digest(tmp_path / "workdir")
    assert sealed["best/adapter_model.safetensors"] == sealed["last/adapter_model.safetensors"]


def test_one_group_alone_is_trained_without_validation_and_that_is_said(tiny_model: Path, tmp_path: Path) -> None:
    recorded = RecordingReporter()
    fit(tiny_model, tmp_path / "workdir", recorded, epochs=1, rows=write_rows(tmp_path, groups=1))
    assert any("validation: off" in line for line in recorded.lines)


def test_decisions_are_said_with_their_reasons(tiny_model: Path, tmp_path: Path) -> None:
    recorded = RecordingReporter()
    fit(tiny_model, tmp_path / "workdir", recorded, epochs=1)
    said = "\n".join(recorded.lines)
    for expected in (
        "lora in fp32 on cpu: test",
        "micro-batch: packs of at most",
        "packing:",
        "prefix of",
        "compile: off",
    ):
        assert expected in said


@pytest.mark.slow
def test_the_stage_seals_an_adapter_with_its_facts(tiny_model: Path, workdir: WorkDirectory) -> None:
    from tasks.training.task import train_adapter

    sealed = {}
    for name, source in (("model", tiny_model), ("data", workdir.folder / "rows")):
        folder = workdir.store.folder("made", name)
        if name == "data":
            source.mkdir()
            write_rows(source)
        for path in source.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        sealed[name] = workdir.store.seal(name, folder)
    base = ModelArtifact(digest=sealed["model"], name="tiny", parameters=1, template_digest="t")
    data = DataArtifact(digest=sealed["data"], train_rows=24, held_out_rows=1, refused_rows=0, reasons={}, documents=0)
    training = TrainingConfig(method="qlora", rank=4, epochs=1, tokens_per_step=400)
    golden = workdir.store.folder("made", "rendering")
    seal_golden([GoldenRow("train", 1, "a", "b")], "Translate.", AutoTokenizer.from_pretrained(tiny_model), golden)
    rendering = RenderingArtifact.model_construct(digest=workdir.store.seal("rendering", golden))
    adapter = train_adapter(training, rendering, base, data, 7)
    assert (adapter.method, adapter.base_digest, adapter.template_digest) == ("qlora", sealed["model"], "t")
    assert adapter.digest and adapter.steps > 1 and adapter.validation_loss is not None
    assert adapter.train_tokens > pl.read_parquet(workdir.folder / "rows" / "train.parquet").height
    assert train_adapter(training, rendering, base, data, 7) == adapter
    assert (workdir.store.open(adapter.digest) / "golden.json").read_bytes() == (
        workdir.store.open(rendering.digest) / "golden.json"
    ).read_bytes()


@pytest.mark.parametrize("how", ["tokenizer", "template"])
def test_training_stops_before_its_first_step_when_rows_are_rendered_differently(
    tiny_model: Path, workdir: WorkDirectory, tmp_path: Path, how: str
) -> None:
    from tasks.training.task import train_adapter

    golden = workdir.store.folder("made", "rendering")
    seal_golden([GoldenRow("train", 1, "that", "hat")], "Translate.", AutoTokenizer.from_pretrained(tiny_model), golden)
    rendering = RenderingArtifact.model_construct(digest=workdir.store.seal("rendering", golden))
    base = sealed_base(workdir.store, tampered(tiny_model, tmp_path / "other", how))
    data = DataArtifact(digest="d" * 64, train_rows=24, held_out_rows=1, refused_rows=0, reasons={}, documents=0)
    with pytest.raises(TuneworthyError, match="1 of 1 golden rows are rendered"):
        train_adapter(TrainingConfig(), rendering, base, data, 7)
