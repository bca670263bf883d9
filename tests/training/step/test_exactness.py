"""Packing, sharing a prefix, chunking and accumulating change the speed, never the numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from schemas.sections.training import TrainingConfig
from tasks.training.adapters.methods import load_model
from tasks.training.rows import TokenRow, common_prefix
from tasks.training.step import attention
from tasks.training.step.loss import answer_loss, answering, pack_loss
from tasks.training.step.packing import pack_rows
from tests.training.examples import padded, token_rows

METHODS = ["lora", "qlora", "full", "lora dora", "lora rslora", "qlora dora", "qlora rslora"]


@pytest.fixture(params=METHODS)
def model(request: pytest.FixtureRequest, tiny_model: Path) -> Any:
    """The tiny model under each method in fp32; its adapters are moved off zero, or half of their gradients would
    be.
    """
    method, _, adapter = request.param.partition(" ")
    made = load_model(
        tiny_model, TrainingConfig(method=method, adapter=adapter or "lora", rank=4), torch.float32, "cpu"
    )
    torch.manual_seed(3)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    return made.train()


def packed(model: Any, rows: list[TokenRow], prefix: int, capacity: int = 10_000) -> torch.Tensor:
    """Our way, with the gradients of several packs added up."""
    total = torch.zeros(())
    with answering(model) as head:
        for pack in pack_rows(rows, prefix, capacity):
            loss = pack_loss(model, head, pack, "cpu")
            loss.backward()
            total += loss.detach()
    return total


def grads(model: Any) -> dict[str, torch.Tensor]:
    """Take the gradients off the model."""
    found = {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}
    model.zero_grad()
    return found


def assert_same(
    ours: tuple[torch.Tensor, dict[str, torch.Tensor]], plain: tuple[torch.Tensor, dict[str, torch.Tensor]]
) -> None:
    """Loss and every gradient agree to fp32's accuracy."""
    torch.testing.assert_close(ours[0], plain[0], rtol=1e-5, atol=1e-5)
    assert ours[1].keys() == plain[1].keys()
    for name, grad in plain[1].items():
        assert grad.abs().max() > 0, name
        torch.testing.assert_close(ours[1][name], grad, rtol=1e-3, atol=1e-4 * float(grad.abs().max()))


def plain_result(model: Any, rows: list[TokenRow]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Loss and gradients the plain way."""
    loss = padded(model, rows)
    loss.backward()
    return loss.detach(), grads(model)


@pytest.mark.parametrize("prefix", [0, 6])
def test_packed_rows_have_the_loss_and_gradients_of_padded_ones(model: Any, prefix: int) -> None:
    rows = token_rows()
    assert common_prefix(rows) == 6
    plain = plain_result(model, rows)
    assert_same((packed(model, rows, prefix), grads(model)), plain)


def test_the_fused_kernel_gives_the_numbers_of_plain_products(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = token_rows()
    products = packed(model, rows, 6), grads(model)
    monkeypatch.setattr(attention, "LONG", 0)
    assert_same((packed(model, rows, 6), grads(model)), products)


@pytest.mark.parametrize("capacity", [1, 60, 120])
def test_many_small_packs_have_the_gradients_of_one_large_one(model: Any, capacity: int) -> None:
    rows = token_rows()
    large = packed(model, rows, 6), grads(model)
    assert len(pack_rows(rows, 6, capacity)) > 1
    assert_same((packed(model, rows, 6, capacity), grads(model)), large)


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_chunked_cross_entropy_is_plain_cross_entropy(chunk: int) -> None:
    torch.manual_seed(0)
    inputs = [
        torch.randn(23, 8, requires_grad=True),
        torch.randn(50, 8, requires_grad=True),
        torch.randn(50, requires_grad=True),
    ]
    labels = torch.randint(0, 50, (23,))
    ours = torch.autograd.grad(answer_loss(*inputs[:3], labels, chunk) * 3, inputs)
    logits = torch.nn.functional.linear(inputs[0], inputs[1], inputs[2])
    plain = torch.autograd.grad(torch.nn.functional.cross_entropy(logits, labels, reduction="sum") * 3, inputs)
    for one, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(one, other)


def test_a_row_does_not_see_its_neighbour_in_the_pack(model: Any) -> None:
    rows = token_rows(2)
    alone = packed(model, rows[:1], 6)
    changed = TokenRow(2, "g", rows[1].prompt_ids[:6] + [300] * 9, [301, 302, 2])
    together = packed(model, [rows[0], changed], 6)
    torch.testing.assert_close(together - packed(model, [changed], 6), alone, rtol=1e-5, atol=1e-5)


def test_only_answer_tokens_are_labels() -> None:
    rows = token_rows()
    pack = pack_rows(rows, 6, 10_000)[0]
    assert sorted(pack.labels.tolist()) == sorted(token for row in rows for token in row.answer_ids)
    assert pack.input_ids.shape[1] == 6 + sum(row.tokens - 7 for row in rows)
