"""What cannot be trained is refused before the first step, by name and with the next step."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from schemas.errors import ConfigRefused, DatasetRefused, TrainingStopped
from schemas.sections.training import TrainingConfig
from tasks.training.adapters.methods import load_model
from tasks.training.running.trainer import PackedTrainer
from tests.training.examples import fit, sealed_digest, write_rows


def test_rows_above_max_length_are_refused_by_name_and_never_cut(tiny_model: Path, tmp_path: Path) -> None:
    message = (
        r"of 24 train rows are too long: training.max_length allows 60 tokens, the longest has \d+ \(rows? .*set "
        r"training.max_length to \d+"
    )
    with pytest.raises(DatasetRefused, match=message):
        fit(tiny_model, tmp_path / "workdir", max_length=60)
    assert not (tmp_path / "workdir" / "checkpoints").exists()


def test_rows_above_the_base_models_window_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny_model, base)
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 50}))
    with pytest.raises(
        DatasetRefused,
        match=r"the base model's context window is 50 tokens.*name a base model with a longer context window",
    ):
        fit(base, tmp_path / "workdir")


def test_a_limit_below_a_single_answer_is_refused_with_the_rows_that_no_shorter_request_would_save(
    tiny_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(DatasetRefused, match=r"The answer alone exceeds the limit in rows? \d+.*, whatever the prompt"):
        fit(tiny_model, tmp_path / "workdir", max_length=16)


def test_a_row_whose_every_token_is_masked_is_refused_with_its_number(tiny_model: Path, tmp_path: Path) -> None:
    rows = write_rows(tmp_path)
    frame = pl.read_parquet(rows)
    frame.with_columns(
        completion=pl.when(pl.col("row_id").is_in([3, 9])).then(pl.lit("")).otherwise("completion")
    ).write_parquet(rows)
    with pytest.raises(
        DatasetRefused,
        match=r"(?s)2 train rows cannot be learned.*row 3: it has no answer, so every token of it is masked.*row 9:",
    ):
        fit(tiny_model, tmp_path / "workdir", rows=rows)
    assert not (tmp_path / "workdir" / "decisions.json").exists()


def test_no_row_at_all_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    rows = write_rows(tmp_path)
    pl.read_parquet(rows).clear().write_parquet(rows)
    with pytest.raises(DatasetRefused, match="There is no train row"):
        fit(tiny_model, tmp_path / "workdir", rows=rows)


def test_an_answer_that_holds_the_stop_token_is_refused_with_its_row(tiny_model: Path, tmp_path: Path) -> None:
    rows = write_rows(tmp_path)
    frame = pl.read_parquet(rows)
    frame.with_columns(
        completion=pl.when(pl.col("row_id") == 3).then(pl.lit("a<|im_end|>b")).otherwise("completion")
    ).write_parquet(rows)
    with pytest.raises(DatasetRefused, match=r"(?s)1 train rows cannot be learned.*row 3:"):
        fit(tiny_model, tmp_path / "workdir", rows=rows)


def test_a_rank_above_the_smallest_layer_is_refused(tiny_model: Path) -> None:
    with pytest.raises(
        ConfigRefused, match=r"training.rank 33 is above the smallest layer's size 32.*Allowed: 1 to 32"
    ):
        load_model(tiny_model, TrainingConfig(method="lora", rank=33), torch.float32, "cpu")


def test_a_base_without_linear_layers_is_refused_with_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    from tasks.training.adapters.methods import linear_layers

    model = GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=2, n_embd=16, vocab_size=50, n_positions=32))
    monkeypatch.setattr(torch.nn, "Linear", type("Nothing", (torch.nn.Linear,), {}))
    with pytest.raises(ConfigRefused, match=r"none but its output layer.*LayerNorm"):
        linear_layers(model)


def test_a_quantised_base_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny_model, base)
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(
        json.dumps(config | {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}})
    )
    with pytest.raises(ConfigRefused, match="already quantised"):
        load_model(base, TrainingConfig(), torch.float32, "cpu")


@pytest.mark.slow
def test_a_loss_that_is_not_a_number_stops_with_the_rows_and_the_last_good_checkpoint(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = PackedTrainer.pack_loss

    def poisoned(self: PackedTrainer, model: Any, pack: Any) -> torch.Tensor:
        loss = step(self, model, pack)
        return loss * float("nan") if self.state.global_step == 4 else loss

    monkeypatch.setattr(PackedTrainer, "pack_loss", poisoned)
    message = (
        r"loss of step 5 is not a finite number \(nan\), at rows \d+.*last good checkpoint is "
        r"step-000004.*training.learning_rate \(now 0.005\)"
    )
    with pytest.raises(TrainingStopped, match=message):
        fit(tiny_model, tmp_path / "workdir", checkpoint_minutes=1e-9)
    monkeypatch.setattr(PackedTrainer, "pack_loss", step)
    fit(tiny_model, tmp_path / "workdir", checkpoint_minutes=1e-9)
    assert "best/adapter_model.safetensors" in sealed_digest(tmp_path / "workdir")


def test_a_gradient_that_is_not_a_number_stops_before_the_weights_are_touched(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = PackedTrainer.pack_loss

    class Infinite(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
            return grads[0] * float("inf")

    monkeypatch.setattr(PackedTrainer, "pack_loss", lambda self, model, pack: Infinite.apply(loss(self, model, pack)))
    with pytest.raises(TrainingStopped, match=r"gradient of step 1 is not a finite number.*There is no checkpoint yet"):
        fit(tiny_model, tmp_path / "workdir")


def test_a_base_that_scales_its_logits_is_refused_before_the_first_step(tiny_model: Path, tmp_path: Path) -> None:
    from transformers import GraniteConfig, GraniteForCausalLM

    base = tmp_path / "base"
    shutil.copytree(tiny_model, base)
    sizes = {
        "vocab_size": 384,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
    }
    torch.manual_seed(0)
    GraniteForCausalLM(GraniteConfig(**sizes, logits_scaling=4.0, initializer_range=0.5)).save_pretrained(base)
    with pytest.raises(
        ConfigRefused, match=r"changes its logits behind the output layer, so that the loss .* would see"
    ):
        fit(base, tmp_path / "workdir")
    GraniteForCausalLM(GraniteConfig(**sizes, logits_scaling=1.0, initializer_range=0.5)).save_pretrained(base)
    fit(base, tmp_path / "other", epochs=0.3)


def test_a_window_of_attention_shorter_than_a_row_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    from transformers import MistralConfig, MistralForCausalLM

    base = tmp_path / "base"
    shutil.copytree(tiny_model, base)
    sizes = {
        "vocab_size": 384,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
    }
    MistralForCausalLM(MistralConfig(**sizes, sliding_window=16)).save_pretrained(base)
    with pytest.raises(ConfigRefused, match="a sliding window of 16 tokens, shorter than the longest row"):
        fit(base, tmp_path / "workdir")
