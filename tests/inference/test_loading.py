"""A model ready to answer, with and without what was fitted on it."""

from __future__ import annotations

import json
import shutil
import weakref
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from schemas.errors import TuneworthyError
from tasks.inference import loading
from tasks.inference.loading import AdapterFolder, load_model
from tasks.inference.precision import numbered
from tasks.reuse.memory import free_bytes
from tests.random_adapter import write_adapter

# peft asks transformers in an old way when it makes and loads adapters
pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing"),
    pytest.mark.filterwarnings("ignore:Could not find a config file in tiny"),
]

IDS = torch.tensor([[5, 80, 33, 200, 41, 9]])


def logits(model: object) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=IDS, use_cache=False).logits.float()  # type: ignore[operator]


def fresh(folder: Path, adapter: AdapterFolder | None = None) -> torch.Tensor:
    return logits(load_model.__wrapped__(folder, adapter=adapter, dtype=torch.float32).model)


@pytest.fixture(scope="module")
def random_lora(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("random_lora")
    write_adapter(tiny_model, folder)
    return folder / "best"


def test_a_lora_adapter_answers_as_peft_has_it_on_the_plain_base(tiny_model: Path, random_lora: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    true = logits(
        PeftModel.from_pretrained(
            AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32), random_lora
        ).eval()
    )
    made = fresh(tiny_model, AdapterFolder(random_lora, "lora"))
    torch.testing.assert_close(made, true)
    assert (made - fresh(tiny_model)).abs().max() > 0.01


def test_a_qlora_adapter_answers_as_on_the_four_bit_base_that_it_was_fitted_on(
    tiny_model: Path, random_lora: Path
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    four_bits = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    base = AutoModelForCausalLM.from_pretrained(
        tiny_model, dtype=torch.float32, quantization_config=four_bits, device_map={"": "cpu"}
    )
    # As in training: a 4-bit model in evaluation mode multiplies in bf16 on some CPUs, whatever it was told.
    true = PeftModel.from_pretrained(base, random_lora, is_trainable=True).train()(input_ids=IDS).logits.detach()
    made = fresh(tiny_model, AdapterFolder(random_lora, "qlora"))
    apart, apart_on_plain = (
        (made - true).abs().max(),
        (fresh(tiny_model, AdapterFolder(random_lora, "lora")) - true).abs().max(),
    )
    assert apart < 1e-4
    assert apart_on_plain > 100 * apart


def test_a_fully_tuned_model_answers_with_its_own_weights(tiny_model: Path, tmp_path: Path) -> None:
    weights = {name: value * 1.1 for name, value in load_file(tiny_model / "model.safetensors").items()}
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    whole = tmp_path / "whole"
    shutil.copytree(tiny_model, whole)
    shutil.copy(tmp_path / "model.safetensors", whole)
    torch.testing.assert_close(fresh(tiny_model, AdapterFolder(tmp_path, "full")), fresh(whole))


def test_an_adapter_that_changes_nothing_is_refused(tiny_model: Path, random_lora: Path, tmp_path: Path) -> None:
    shutil.copytree(random_lora, tmp_path / "best")
    weights = load_file(random_lora / "adapter_model.safetensors")
    save_file(
        {name: value * 0 if "lora_B" in name else value for name, value in weights.items()},
        tmp_path / "best" / "adapter_model.safetensors",
    )
    with pytest.raises(TuneworthyError, match="lora adapter changes nothing"):
        fresh(tiny_model, AdapterFolder(tmp_path / "best", "lora"))
    shutil.copy(tiny_model / "model.safetensors", tmp_path / "model.safetensors")
    with pytest.raises(TuneworthyError, match="full adapter changes nothing"):
        fresh(tiny_model, AdapterFolder(tmp_path, "full"))


def test_the_model_asked_for_last_is_kept_and_another_takes_its_place(tiny_model: Path, random_lora: Path) -> None:
    first = load_model(tiny_model)
    assert load_model(tiny_model) is first
    tuned = load_model(tiny_model, adapter=AdapterFolder(random_lora, "lora"))
    assert tuned is not first
    assert load_model(tiny_model) is not first


def test_an_answer_ends_at_the_templates_stop_token_and_at_the_models_own(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    settings = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps(settings | {"eos_token_id": [7, 0]}))
    assert load_model(folder).stop_ids == {0, 2, 7}
    assert load_model(tiny_model).window == 2048


def test_a_model_leaves_memory_before_the_next_one_is_loaded(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, alive = weakref.ref(load_model(tiny_model, dtype=torch.float32).model), []
    monkeypatch.setattr(loading, "_model", lambda *_: alive.append(before()))
    with pytest.raises(AttributeError):
        load_model(tiny_model, dtype=torch.bfloat16)
    assert alive == [None]


def test_what_torch_keeps_of_a_card_counts_as_free(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("mem_get_info", (10, 80)), ("memory_reserved", 50), ("memory_allocated", 20)):
        monkeypatch.setattr(torch.cuda, name, lambda value=value: value)
    assert free_bytes("cuda") == 40


def test_a_card_is_named_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert (numbered("cuda"), numbered("cpu")) == ("cuda:1", "cpu")
