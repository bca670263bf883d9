"""Weights of rows, and objectives that compare answers: the gradients of the plain way, on the same packs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn.functional import log_softmax, logsigmoid

from schemas.sections.training import TrainingConfig
from tasks.training.adapters.methods import load_model
from tasks.training.rows import TokenRow
from tasks.training.running.preferences import Preferences
from tasks.training.step.attention import NAME
from tasks.training.step.loss import answering, pack_loss
from tasks.training.step.packing import pack_rows
from tests.training.examples import token_rows


@pytest.fixture
def model(tiny_model: Path) -> Any:
    made = load_model(tiny_model, TrainingConfig(method="lora", rank=4), torch.float32, "cpu")
    torch.manual_seed(3)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    return made.train()


def plain_logps(model: Any, rows: list[TokenRow]) -> torch.Tensor:
    """The log-probability of each answer, one row at a time, by the library's own attention."""
    model.config._attn_implementation = "sdpa"
    found = []
    for row in rows:
        ids = torch.tensor([row.prompt_ids + row.answer_ids])
        logits = model(input_ids=ids, use_cache=False).logits[0, len(row.prompt_ids) - 1 : -1]
        found.append(log_softmax(logits, -1).gather(1, torch.tensor(row.answer_ids)[:, None]).sum())
    model.config._attn_implementation = NAME
    return torch.stack(found)


def grads(model: Any) -> dict[str, torch.Tensor]:
    found = {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}
    model.zero_grad()
    return found


def assert_same(ours: dict[str, torch.Tensor], plain: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == plain.keys()
    for name, grad in plain.items():
        assert grad.abs().max() > 0, name
        torch.testing.assert_close(ours[name], grad, rtol=2e-3, atol=2e-4 * float(grad.abs().max()))


@pytest.mark.parametrize("capacity", [60, 10_000])
def test_a_rows_tokens_count_as_much_as_its_weight(model: Any, capacity: int) -> None:
    rows = [replace(row, weight=(1, 0.25, 2)[place % 3]) for place, row in enumerate(token_rows())]
    plain = -(plain_logps(model, rows) * torch.tensor([row.weight for row in rows])).sum()
    plain.backward()
    expected = grads(model)
    total = 0.0
    with answering(model) as head:
        for pack in pack_rows(rows, 6, capacity):
            loss = pack_loss(model, head, pack, "cpu")
            loss.backward()
            total += loss.item()
    assert total == pytest.approx(plain.item(), rel=1e-5)
    assert_same(grads(model), expected)


def test_rows_whose_weights_are_all_one_take_no_other_way(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "repeat_interleave", None)
    with answering(model) as head:
        (pack,) = pack_rows(token_rows(4), 6, 10_000)
        assert pack_loss(model, head, pack, "cpu").item() > 0


def compared() -> list[TokenRow]:
    """Four requests, each with a wanted and a rejected answer and the answer to another request."""
    rows, others = token_rows(4), token_rows(4, seed=9)
    made = []
    for place, (row, other) in enumerate(zip(rows, others, strict=True)):
        crossed = replace(row, answer_ids=rows[(place + 1) % 4].answer_ids, kind="mismatched")
        made += [row, replace(row, answer_ids=other.answer_ids, kind="rejected"), crossed]
    return made


def by_the_paper(objective: str, logps: torch.Tensor, started: torch.Tensor, rows: list[TokenRow]) -> torch.Tensor:
    """The loss of each objective as its paper writes it, with beta 0.3."""
    wanted, rejected, crossed = (logps[place::3] for place in range(3))
    at_start = [started[place::3] for place in range(3)]
    if objective == "dpo":
        return -logsigmoid(0.3 * ((wanted - at_start[0]) - (rejected - at_start[1]))).mean()
    if objective == "orpo":
        lengths = torch.tensor([len(row.answer_ids) for row in rows])
        means = [wanted / lengths[0::3], rejected / lengths[1::3]]
        odds = [mean - torch.log(1 - mean.exp()) for mean in means]
        return (-means[0] - 0.3 * logsigmoid(odds[0] - odds[1])).mean()
    zero = (crossed - at_start[2]).mean().clamp(min=0).detach()
    kept = 1 - torch.sigmoid(0.3 * ((wanted - at_start[0]) - zero))
    lost = 1 - torch.sigmoid(0.3 * (zero - (rejected - at_start[1])))
    return torch.cat([kept, lost]).mean()


@pytest.mark.parametrize("capacity", [80, 10_000])
@pytest.mark.parametrize("objective", ["dpo", "orpo", "kto"])
def test_an_objective_has_the_gradients_of_its_paper(model: Any, tmp_path: Path, objective: str, capacity: int) -> None:
    rows = compared()
    with torch.no_grad():
        started = plain_logps(model, rows) + torch.linspace(-2, 1, len(rows))
    plain = by_the_paper(objective, plain_logps(model, rows), started, rows)
    plain.backward()
    expected = grads(model)
    preferences = Preferences(objective, 0.3, tmp_path)
    preferences.started = {(row.row_id, row.kind): float(logp) for row, logp in zip(rows, started, strict=True)}
    with answering(model) as head:
        accelerator = SimpleNamespace(
            reduce=lambda value, _: value, backward=lambda loss: loss.backward(), no_sync=lambda _: torch.enable_grad()
        )
        passes = SimpleNamespace(head=head, accelerator=accelerator, args=SimpleNamespace(device="cpu", world_size=1))
        loss = preferences.step(model, passes, pack_rows(rows, 6, capacity), rows)
    assert float(loss) == pytest.approx(plain.item(), rel=1e-5)
    assert_same(grads(model), expected)
