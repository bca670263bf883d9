"""A branch that starts from what 4 bits took away brings the quantised base nearer to the whole one before the first step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lessons import fit, sealed_digest, token_rows
from safetensors.torch import load_file

from schemas.config import TrainingConfig
from tasks.training.branches import Layer
from tasks.training.loss import answering
from tasks.training.methods import load_model
from tasks.training.packing import Lesson, plan_steps
from tasks.training.passes import pack_loss
from tasks.training.resuming import newest_whole
from tasks.training.rows import common_prefix
from tasks.training.starting import USUAL_LENGTH, channel_sizes, start_from_output_error
from tasks.training.trainer import PackedTrainer


def started(base: Path, adapter: str, lesson: Lesson) -> Any:
    model = load_model(base, TrainingConfig(method="qlora", rank=8, adapter=adapter), torch.float32, "cpu")
    if adapter == "qera":
        with answering(model) as head:
            start_from_output_error(model, head, lesson, 10_000, base)
    return model


@pytest.fixture
def lesson() -> Lesson:
    rows = token_rows(24)
    return Lesson(rows, [], plan_steps([row.tokens for row in rows], 400, 1, 7), common_prefix(rows), 2)


@pytest.fixture(scope="session")
def uneven(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with some channels that are far larger than the others, as those of trained models are."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight[::9] *= 12
    folder = tmp_path_factory.mktemp("uneven")
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
    return folder


def weight_error(model: Any, base: Path) -> float:
    """Return the sum over layers of |W - (Q + B A)|^2."""
    inner, total = model.get_base_model(), 0.0
    for name, weight in load_file(base / "model.safetensors").items():
        if "proj" in name:
            module = inner.get_submodule(name.removesuffix(".weight"))
            total += (Layer(module.get_base_layer()).unfolded() + module.get_delta_weight("default") - weight).norm().item() ** 2
    return total


def output_error(model: Any, base: Path, sizes: dict[str, torch.Tensor]) -> float:
    """Return the same with every input channel weighed by its size."""
    inner, total = model.get_base_model(), 0.0
    weights = load_file(base / "model.safetensors")
    for name, size in sizes.items():
        module = inner.get_submodule(name)
        held = Layer(module.get_base_layer()).unfolded() + module.get_delta_weight("default")
        total += ((held - weights[f"{name}.weight"]) * size).norm().item() ** 2
    return total


def sizes_of(model: Any, lesson: Lesson) -> dict[str, torch.Tensor]:
    from tasks.training.packing import pack_rows

    with answering(model) as head, torch.no_grad():
        return channel_sizes(model, lambda: [pack_loss(model, head, pack, "cpu") for pack in pack_rows(lesson.rows, lesson.prefix, 10_000)])


def test_loftq_comes_nearer_to_the_weights_and_qera_to_the_outputs(uneven: Path, lesson: Lesson) -> None:
    plain, loftq, qera = (started(uneven, adapter, lesson) for adapter in ("lora", "loftq", "qera"))
    sizes = sizes_of(plain, lesson)
    assert weight_error(loftq, uneven) < 0.8 * weight_error(plain, uneven)
    assert weight_error(loftq, uneven) < weight_error(qera, uneven)
    assert output_error(qera, uneven, sizes) < 0.9 * output_error(loftq, uneven, sizes) < output_error(plain, uneven, sizes)


def test_sizes_are_the_root_mean_squares_of_what_goes_in(tiny_model: Path, lesson: Lesson) -> None:
    model = started(tiny_model, "lora", lesson)
    layer = model.get_base_model().model.layers[0].self_attn.q_proj
    seen: list[torch.Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].reshape(-1, inputs[0].shape[-1])))
    sizes = sizes_of(model, lesson)
    hook.remove()
    torch.testing.assert_close(sizes["model.layers.0.self_attn.q_proj"], torch.cat(seen).pow(2).mean(0).sqrt())
    assert len(sizes) == 7 * model.config.num_hidden_layers


def test_the_first_factor_starts_as_long_as_it_usually_is(tiny_model: Path, lesson: Lesson) -> None:
    for name, weight in started(tiny_model, "qera", lesson).named_parameters():
        if "lora_A" in name:
            torch.testing.assert_close(weight.norm(dim=1), torch.full((8,), USUAL_LENGTH), rtol=1e-4, atol=0)


def test_an_interrupted_qera_fit_seals_the_bytes_of_an_uninterrupted_one(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
