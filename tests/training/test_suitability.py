"""What cannot be trained, by a base's files or on this machine, is refused before anything is measured."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from schemas.errors import ConfigRefused, MachineLacks
from schemas.sections.training import TrainingConfig
from tasks.training.suitability import likely_machine, refuse_unsuitable


@pytest.mark.parametrize(
    ("config", "training", "message"),
    [
        ({"attn_logit_softcapping": 50.0}, {}, r"caps the logits of its attention"),
        ({"final_logit_softcapping": 30.0}, {}, r"scales its logits \(final_logit_softcapping\)"),
        ({"logits_scaling": 8.0}, {}, r"scales its logits \(logits_scaling\)"),
        ({"logit_scale": 0.0625}, {}, r"scales its logits \(logit_scale\)"),
        ({"text_config": {"final_logit_softcapping": 30.0}}, {}, "scales its logits"),
        ({"model_type": "mamba"}, {}, "the attention of mamba be replaced"),
        ({"model_type": "gpt_oss"}, {}, r"sinks"),
        ({"model_type": "gpt2"}, {"method": "lora"}, r"Conv1D.*training.method \"full\""),
        ({"layer_types": ["linear_attention", "full_attention"]}, {}, r"linear_attention layers.*mix neighbouring"),
        ({}, {"rank": 33}, r"training.rank 33 .*Allowed: 1 to 32"),
        ({}, {"targets": ("q_porj",)}, r"training.targets: .*q_porj.*It has: .*q_proj"),
    ],
)
def test_what_files_tell_against_a_training_is_refused_without_loading_it(
    tiny_model: Path, tmp_path: Path, config: dict[str, object], training: dict[str, object], message: str
) -> None:
    base = Path(shutil.copytree(tiny_model, tmp_path / "base"))
    refuse_unsuitable(base, TrainingConfig(rank=8))
    known = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(known | config))
    with pytest.raises(ConfigRefused, match=f"(?s){message}"):
        refuse_unsuitable(base, TrainingConfig(**{"rank": 8, **training}))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3", "mistral", "gemma3_text", "phi3", "gpt_neox", "smollm3"])
def test_the_kinds_that_training_knows_are_not_refused(tiny_model: Path, tmp_path: Path, kind: str) -> None:
    base = Path(shutil.copytree(tiny_model, tmp_path / "base"))
    known = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(known | {"model_type": kind, "logit_scale": 1.0}))
    refuse_unsuitable(base, TrainingConfig())


def test_gpt2_may_be_trained_whole(tiny_model: Path, tmp_path: Path) -> None:
    base = Path(shutil.copytree(tiny_model, tmp_path / "base"))
    older = {"n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 384, "model_type": "gpt2"}
    (base / "config.json").write_text(json.dumps(older))
    refuse_unsuitable(base, TrainingConfig(method="full"))
    with pytest.raises(ConfigRefused, match="Conv1D"):
        refuse_unsuitable(base, TrainingConfig())


@pytest.mark.parametrize("optimizer", ["adamw_8bit", "paged_adamw", "paged_adamw_8bit"])
def test_an_optimiser_for_cards_is_refused_where_there_is_none_and_let_be_on_a_worker(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert likely_machine()[0] == "cpu"
    with pytest.raises(MachineLacks, match=f'"{optimizer}" needs a CUDA card'):
        refuse_unsuitable(tiny_model, TrainingConfig(optimizer=optimizer))  # type: ignore[arg-type]
    refuse_unsuitable(tiny_model, TrainingConfig(optimizer=optimizer, where="train/gpu"))  # type: ignore[arg-type]
