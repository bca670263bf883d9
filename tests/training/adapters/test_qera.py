"""A QERA start brings the outputs of the 4-bit base nearer to those of the original one before the first step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from schemas.sections.training import TrainingConfig
from tasks.training.adapters import qera as starting
from tasks.training.adapters.fused_linear import FrozenLinear
from tasks.training.adapters.methods import load_model
from tasks.training.adapters.qera import USUAL_NORM, input_products, start_from_output_error
from tasks.training.rows import common_prefix
from tasks.training.step.loss import answering, pack_loss
from tasks.training.step.packing import TrainingDataset, pack_rows, plan_steps
from tests.training.examples import RecordingReporter, fit, token_rows


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


def output_error(model: Any, base: Path, products: dict[str, torch.Tensor]) -> float:
    """Return the sum over layers of the mean squared error of outputs, for inputs with these mean products."""
    inner, total = model.get_base_model(), 0.0
    weights = load_file(base / "model.safetensors")
    for name, product in products.items():
        module = inner.get_submodule(name)
        error = (
            FrozenLinear(module.get_base_layer()).dequantised()
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


def test_qera_lowers_the_error_of_the_outputs(uneven: Path, dataset: TrainingDataset) -> None:
    plain, qera = started(uneven, "lora", dataset), started(uneven, "qera", dataset)
    products = products_of(plain, dataset)
    assert output_error(qera, uneven, products) < 0.7 * output_error(plain, uneven, products)


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


def test_layers_whose_products_do_not_fit_into_memory_together_are_started_in_groups(
    uneven: Path, dataset: TrainingDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.training.adapters.qera.PRODUCT_BYTES", 40_000)
    plain, qera = started(uneven, "lora", dataset), started(uneven, "qera", dataset)
    products = products_of(plain, dataset)
    assert output_error(qera, uneven, products) < 0.7 * output_error(plain, uneven, products)


def test_rows_of_the_first_factor_start_with_the_norm_of_pefts_start(
    tiny_model: Path, dataset: TrainingDataset
) -> None:
    for name, weight in started(tiny_model, "qera", dataset).named_parameters():
        if "lora_A" in name:
            torch.testing.assert_close(weight.norm(dim=1), torch.full((8,), USUAL_NORM), rtol=1e-4, atol=0)


def test_a_fit_reports_how_much_of_the_error_its_start_recovers(tiny_model: Path, tmp_path: Path) -> None:
    recorded = RecordingReporter()
    fit(tiny_model, tmp_path / "workdir", recorded, method="qlora", adapter="qera", epochs=0.3)
    line = next(line for line in recorded.lines if line.startswith("QERA start: the adapters recover "))
    assert 5 < int(line.removeprefix("QERA start: the adapters recover ").partition("%")[0]) < 100


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


def test_only_as_many_rows_are_computed_for_the_start_as_have_its_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "CALIBRATION_TOKENS", 100)
    rows = token_rows(24)
    dataset = TrainingDataset(rows, [], plan_steps([row.tokens for row in rows], 100_000, 1, 7), common_prefix(rows), 2)
    seen = sum(pack.input_ids.shape[1] for pack in starting._calibration_packs(dataset, 60))
    assert 100 <= seen < 300 < sum(row.tokens for row in rows)
