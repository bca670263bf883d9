"""A frozen norm as one operation gives what transformers' norm gives, and only such a norm is taken over."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from schemas.sections.training import TrainingConfig
from tasks.training.adapters.methods import load_model
from tasks.training.step.norms import RootMeanSquare, fuse_norms


def frozen_norm(dtype: torch.dtype) -> LlamaRMSNorm:
    norm = LlamaRMSNorm(48, 1e-5).to(dtype).requires_grad_(False)
    norm.weight.copy_(torch.linspace(-1.5, 2.0, 48))
    return norm


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_are_equal_to_the_last_bit_and_the_input_stays_as_it_was(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    norm, states = frozen_norm(dtype), torch.randn(2, 7, 48).to(dtype)
    before = states.clone()
    assert torch.equal(RootMeanSquare.apply(states, norm.weight, norm.variance_epsilon), norm(states))
    assert torch.equal(states, before)


@pytest.mark.parametrize(("dtype", "apart"), [(torch.float32, 1e-6), (torch.bfloat16, 1e-2)])
def test_gradients_are_those_of_the_formula(dtype: torch.dtype, apart: float) -> None:
    torch.manual_seed(0)
    norm, states, slope = (
        frozen_norm(dtype),
        torch.randn(2, 7, 48).to(dtype).requires_grad_(),
        torch.randn(2, 7, 48).to(dtype),
    )
    RootMeanSquare.apply(states, norm.weight, norm.variance_epsilon).backward(slope)
    exact = states.detach().double().requires_grad_()
    (norm.weight.double() * exact / (exact.pow(2).mean(-1, keepdim=True) + norm.variance_epsilon).sqrt()).backward(
        slope.double()
    )
    assert states.grad is not None and exact.grad is not None
    assert torch.allclose(states.grad.double(), exact.grad, rtol=apart, atol=apart)


def test_every_norm_of_a_frozen_base_is_fused(tiny_model: Path) -> None:
    model = load_model(tiny_model, TrainingConfig(method="lora", rank=4), torch.float32, "cpu")
    layers = model.config.num_hidden_layers
    assert (
        sum("_normed" in str(module.forward) for module in model.modules() if isinstance(module, LlamaRMSNorm))
        == 2 * layers + 1
    )


def test_a_norm_of_another_formula_or_a_trained_one_is_not_fused() -> None:
    gemma = GemmaRMSNorm(48).requires_grad_(False)
    assert fuse_norms(torch.nn.ModuleList([gemma, LlamaRMSNorm(48)])) == 0
    assert fuse_norms(torch.nn.ModuleList([frozen_norm(torch.float32)])) == 1
