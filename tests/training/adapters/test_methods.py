"""Every kind of adapter is trained, sealed and loaded again as the same model, on an unchanged base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from schemas.errors import ConfigRefused
from schemas.sections.training import TrainingConfig
from tasks.inference.loading import AdapterFolder
from tasks.inference.loading import load_model as load_tuned
from tasks.training.adapters.methods import load_model
from tasks.training.running.checkpoints import newest_whole
from tasks.training.running.trainer import PackedTrainer
from tests.training.examples import fit, sealed_digest

# peft asks transformers in an old way when it loads adapters
pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing"),
    pytest.mark.filterwarnings("ignore:Could not find a config file in tiny"),
]

IDS = torch.tensor([[5, 80, 33, 200, 41, 9]])
KINDS = [
    ("lora", "lora"),
    ("lora", "dora"),
    ("lora", "rslora"),
    ("qlora", "lora"),
    ("qlora", "dora"),
    ("qlora", "rslora"),
    ("qlora", "qera"),
]
RULES = {"method": "lora", "rank": 4, "learning_rate": 5e-3}


def logits(model: Any) -> torch.Tensor:
    """Logits of one text by the library's own attention, in evaluation."""
    model.eval()
    model.config._attn_implementation = "sdpa"
    with torch.no_grad():
        return model(input_ids=IDS, use_cache=False).logits.float()


@pytest.mark.slow
@pytest.mark.parametrize(("method", "adapter"), KINDS)
def test_the_sealed_adapter_on_the_base_gives_the_logits_of_the_trained_model(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, adapter: str
) -> None:
    trained: list[torch.Tensor] = []
    train = PackedTrainer.train

    def remembering(self: PackedTrainer, *args: Any, **kwargs: Any) -> None:
        train(self, *args, **kwargs)
        answering = self.model.get_output_embeddings().__dict__.pop("forward")
        trained.append(logits(self.model))
        self.model.get_output_embeddings().forward = answering

    monkeypatch.setattr(PackedTrainer, "train", remembering)
    fit(tiny_model, tmp_path / "workdir", method=method, adapter=adapter, epochs=1)
    tuned = load_tuned.__wrapped__(
        tiny_model, adapter=AdapterFolder(tmp_path / "workdir" / "out" / "last", method), dtype=torch.float32
    )
    torch.testing.assert_close(logits(tuned.model), trained[0], rtol=1e-4, atol=1e-4)
    assert (logits(load_tuned.__wrapped__(tiny_model, dtype=torch.float32).model) - trained[0]).abs().max() > 0.01


@pytest.mark.slow
def test_each_kind_of_adapter_learns_something_of_its_own(tiny_model: Path, tmp_path: Path) -> None:
    sealed = set()
    for adapter in ("lora", "dora", "rslora"):
        (tmp_path / adapter).mkdir()
        fit(tiny_model, tmp_path / adapter / "workdir", adapter=adapter, epochs=0.5)
        sealed.add(sealed_digest(tmp_path / adapter / "workdir")["last/adapter_model.safetensors"])
    assert len(sealed) == 3


@pytest.mark.slow
def test_an_interrupted_fit_with_a_qera_start_seals_the_bytes_of_an_uninterrupted_one(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"method": "qlora", "adapter": "qera", "epochs": 1, "checkpoint_minutes": 1e-9}
    fit(tiny_model, tmp_path / "whole", **settings)
    step = PackedTrainer.training_step

    def cut(self: PackedTrainer, *args: Any, **kwargs: Any) -> Any:
        if self.state.global_step == 2:
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    monkeypatch.setattr(PackedTrainer, "training_step", cut)
    with pytest.raises(KeyboardInterrupt):
        fit(tiny_model, tmp_path / "cut", **settings)
    monkeypatch.setattr(PackedTrainer, "training_step", step)
    assert newest_whole(tmp_path / "cut") is not None
    fit(tiny_model, tmp_path / "cut", **settings)
    assert sealed_digest(tmp_path / "cut") == sealed_digest(tmp_path / "whole")


def test_a_4_bit_base_gets_qera_adapters_by_default() -> None:
    kinds = {method: TrainingConfig(method=method).adapter_kind for method in ("qlora", "lora", "full")}
    assert kinds == {"qlora": "qera", "lora": "lora", "full": "lora"}
    assert TrainingConfig(method="qlora", adapter="lora").adapter_kind == "lora"


def test_only_the_named_layers_get_an_adapter(tiny_model: Path) -> None:
    model = load_model(tiny_model, TrainingConfig(**RULES, targets=("q_proj", "mlp.up_proj")), torch.float32, "cpu")
    adapted = {name.rpartition(".")[2] for name, module in model.named_modules() if hasattr(module, "lora_A")}
    assert adapted == {"q_proj", "up_proj"}


def test_targets_that_name_nothing_are_refused_with_the_names_that_there_are(tiny_model: Path) -> None:
    message = (
        r"no linear layer named query, lm_head. It has: down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj"
    )
    with pytest.raises(ConfigRefused, match=message):
        load_model(tiny_model, TrainingConfig(**RULES, targets=("q_proj", "query", "lm_head")), torch.float32, "cpu")


def test_only_the_size_of_named_layers_limits_the_rank(tiny_model: Path) -> None:
    load_model(tiny_model, TrainingConfig(method="lora", rank=33, targets=("q_proj",)), torch.float32, "cpu")
    with pytest.raises(ConfigRefused, match=r"training.rank 33 is above the smallest layer's size 32"):
        load_model(
            tiny_model, TrainingConfig(method="lora", rank=33, targets=("q_proj", "k_proj")), torch.float32, "cpu"
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "full", "adapter": "dora"}, 'method "full" has none'),
        ({"method": "full", "targets": ("q_proj",)}, 'method "full" has none'),
        ({"method": "lora", "adapter": "qera"}, "corrects the error of a 4-bit base"),
        ({"adapter": "pissa"}, "adapter\n.*'auto', 'lora', 'dora', 'rslora' or 'qera'"),
        ({"adapter": "loftq"}, "adapter\n.*'auto', 'lora', 'dora', 'rslora' or 'qera'"),
        ({"targets": ()}, "at least 1 item"),
        ({"rank": 0}, "rank\n.*greater than or equal to 1"),
        ({"optimizer": "sgd"}, "adamw"),
    ],
)
def test_what_cannot_be_combined_is_refused_with_the_config(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TrainingConfig(**settings)
