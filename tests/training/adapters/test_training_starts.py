"""An adapter that starts from what 4 bits took away brings the quantised base nearer to the whole one before the first
step.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from schemas.training_config import TrainingConfig
from tasks.training.adapters import starts as starting
from tasks.training.adapters.adapter_layers import Layer
from tasks.training.adapters.methods import load_model
from tasks.training.adapters.starts import USUAL_LENGTH, input_products, start_from_output_error
from tasks.training.rows import common_prefix
from tasks.training.step.loss import answering
from tasks.training.step.packing import TrainingDataset, pack_rows, plan_steps
from tasks.training.step.passes import pack_loss
from tests.training.examples import Heard, fit, token_rows


def started(base: Path, adapter: str, dataset: TrainingDataset) -> Any:
    model = load_model(base, TrainingConfig(method="qlora", rank=8, adapter=adapter), torch.float32, "cpu")
    if adapter == "qera":
        with answering(model) as head:
            start_from_output_error(model, head, dataset, 10_000, base)
    return model


@pytest.fixture
def dataset() -> TrainingDataset:
    rows = token_rows(24)
    return TrainingDataset(rows, [], plan_steps([row.tokens for row in rows], 400, 1, 7), common_prefix(rows), 2)


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
            total += (
                Layer(module.get_base_layer()).dequantised() + module.get_delta_weight("default") - weight
            ).norm().item() ** 2
    return total


def output_error(model: Any, base: Path, products: dict[str, torch.Tensor]) -> float:
    """Return the sum over layers of the mean squared error of outputs, for inputs with these mean products."""
    inner, total = model.get_base_model(), 0.0
    weights = load_file(base / "model.safetensors")
    for name, product in products.items():
        module = inner.get_submodule(name)
        error = (
            Layer(module.get_base_layer()).dequantised()
            + module.get_delta_weight("default")
            - weights[f"{name}.weight"]
        )
        total += (error @ product * error).sum().item()
    return total


def products_of(model: Any, dataset: TrainingDataset) -> dict[str, torch.Tensor]:
    names = [name for name, module in model.get_base_model().named_modules() if hasattr(module, "lora_A")]
    with answering(model) as head, torch.no_grad():
        packs = pack_rows(dataset.rows, dataset.prefix, 10_000)
        return input_products(model, names, lambda: [pack_loss(model, head, pack, "cpu") for pack in packs])


def test_loftq_comes_nearer_to_the_weights_and_qera_to_the_outputs(uneven: Path, dataset: TrainingDataset) -> None:
    plain, loftq, qera = (started(uneven, adapter, dataset) for adapter in ("lora", "loftq", "qera"))
    products = products_of(plain, dataset)
    assert weight_error(loftq, uneven) < 0.8 * weight_error(plain, uneven)
    assert weight_error(loftq, uneven) < weight_error(qera, uneven)
    assert (
        output_error(qera, uneven, products)
        < 0.7 * output_error(loftq, uneven, products)
        < output_error(plain, uneven, products)
    )


def test_products_are_means_over_what_goes_in(tiny_model: Path, dataset: TrainingDataset) -> None:
    model = started(tiny_model, "lora", dataset)
    layer = model.get_base_model().model.layers[0].self_attn.q_proj
    seen: list[torch.Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].reshape(-1, inputs[0].shape[-1])))
    products = products_of(model, dataset)
    hook.remove()
    states = torch.cat(seen)
    torch.testing.assert_close(products["model.layers.0.self_attn.q_proj"], states.t() @ states / len(states))
    assert len(products) == 7 * model.config.num_hidden_layers


def test_layers_whose_products_do_not_fit_together_are_started_in_groups(
    uneven: Path, dataset: TrainingDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.training.adapters.starts.PRODUCTS", 40_000)
    plain, qera = started(uneven, "lora", dataset), started(uneven, "qera", dataset)
    products = products_of(plain, dataset)
    assert output_error(qera, uneven, products) < 0.7 * output_error(plain, uneven, products)


def test_the_first_factor_starts_as_long_as_it_usually_is(tiny_model: Path, dataset: TrainingDataset) -> None:
    for name, weight in started(tiny_model, "qera", dataset).named_parameters():
        if "lora_A" in name:
            torch.testing.assert_close(weight.norm(dim=1), torch.full((8,), USUAL_LENGTH), rtol=1e-4, atol=0)


def test_a_fit_says_how_much_its_start_makes_up_for(tiny_model: Path, tmp_path: Path) -> None:
    heard = Heard()
    fit(tiny_model, tmp_path / "workdir", heard, method="qlora", adapter="qera", epochs=0.3)
    share = next(line for line in heard.lines if line.startswith("start: the adapters make up for "))
    assert 5 < int(share.removeprefix("start: the adapters make up for ").partition("%")[0]) < 100


def test_a_layer_that_no_row_goes_through_keeps_its_usual_start_and_counts_as_nothing(
    uneven: Path, dataset: TrainingDataset
) -> None:
    model, whole = (
        load_model(uneven, TrainingConfig(method="qlora", rank=8, adapter="qera"), torch.float32, "cpu")
        for _ in range(2)
    )
    idle = model.get_base_model().model.layers[1].mlp
    idle.forward = torch.zeros_like
    with answering(model) as head, answering(whole) as other:
        share = start_from_output_error(model, head, dataset, 10_000, uneven)
        assert 0 < share < start_from_output_error(whole, other, dataset, 10_000, uneven)
    assert not idle.up_proj.lora_B["default"].weight.any()
    assert model.get_base_model().model.layers[0].mlp.up_proj.lora_B["default"].weight.any()


def test_of_a_step_of_many_rows_no_more_is_looked_at_than_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "SEEN_TOKENS", 100)
    rows = token_rows(24)
    dataset = TrainingDataset(rows, [], plan_steps([row.tokens for row in rows], 100_000, 1, 7), common_prefix(rows), 2)
    seen = sum(pack.input_ids.shape[1] for pack in starting._first_packs(dataset, 60))
    assert 100 <= seen < 300 < sum(row.tokens for row in rows)
