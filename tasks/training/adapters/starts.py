"""Adapters that start from what 4 bits took away: LoftQ looks at the weights alone, QERA at what the layer gives for
the rows at hand.

The 4-bit base stays as it is, so an adapter that was started this way is served like any other.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from tasks.training.adapters.adapter_layers import Layer
from tasks.training.rows import TokenRow
from tasks.training.step.loss import AnswerHead
from tasks.training.step.packing import Pack, TrainingDataset, own_length, pack_rows
from tasks.training.step.passes import pack_loss
from tasks.training.step.sizes import PRODUCTS

# Tokens whose states are looked at.
SEEN_TOKENS = 4096
# Added to each input channel's own mean square: a few thousand tokens tell the products of a few thousand channels only
# roughly.
DAMPING = 0.1
# Length of a row of the first factor as peft starts it, whatever the size of the layer: uniform, with a variance of a
# third over the inputs.
USUAL_LENGTH = 3**-0.5


def start_from_weight_error(model: Any, base: Path) -> None:
    """Start each adapter as the best approximation, of its rank, of what quantising took from the weights (LoftQ, arXiv
    2310.08659, one round).

    peft's own function for a model that is quantised already needs a card, and leaves the adapter's scale out.
    """
    for _, module, error in _errors(model, base, _adapted(model)):
        left, sizes, right = _main_part(error, module)
        root = sizes.sqrt()
        _start(module, (right * root).t(), left * root)


def start_from_output_error(model: Any, head: AnswerHead, dataset: TrainingDataset, capacity: int, base: Path) -> float:
    """Start each adapter so that the layer's outputs, over the first train rows, lose least by quantising (QERA, arXiv
    2410.06040, its exact form).

    Returns the mean over layers of the share of the squared error that its adapter makes up for; a layer that no row
    goes through, such as one for pictures, or that goes by another name in the base's files, keeps its usual start and
    counts as 0.

    With C = L L' the mean of x x' over a layer's inputs, an adapter B A leaves the mean squared error |(W - Q - B A)
    L|^2; the main part of (W - Q) L, taken back through L, makes it least. Any root of C gives the same adapter; a
    triangular one is the cheapest. The first factor gets the length that it usually starts with, so that the learning
    rate means the same.
    """
    look = functools.partial(_look_at, model, head, _first_packs(dataset, capacity))
    shares: list[float] = []
    modules = _adapted(model)
    for names in _in_groups(modules):
        products = input_products(model, names, look)
        for name, module, error in _errors(model, base, products.keys()):
            root = _root(products.pop(name))
            weighed = error @ root
            left, values, right = _main_part(weighed, module)
            shares.append(float(values.square().sum() / weighed.square().sum()))
            down = torch.linalg.solve_triangular(root, right.t(), upper=False, left=False)
            lengths = down.norm(dim=1, keepdim=True) / USUAL_LENGTH
            _start(module, down / lengths, left * values * lengths.t())
    return sum(shares) / len(modules)


def input_products(model: Any, names: Collection[str], look: Callable[[], None]) -> dict[str, torch.Tensor]:
    """Return layer name -> mean of x x' (in, in) over the inputs x that `look` puts through these layers."""
    sums: dict[str, torch.Tensor] = {}
    counts: dict[str, int] = {}

    def note(name: str, _: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        states = inputs[0].reshape(-1, inputs[0].shape[-1]).float()
        if not states.shape[0]:
            return
        if name in sums:
            sums[name].addmm_(states.t(), states)
        else:
            sums[name] = states.t() @ states
        counts[name] = counts.get(name, 0) + states.shape[0]

    hooks = [
        module.register_forward_pre_hook(functools.partial(note, name))
        for name, module in _adapted(model).items()
        if name in names
    ]
    try:
        look()
    finally:
        for hook in hooks:
            hook.remove()
    return {name: total.div_(counts[name]) for name, total in sums.items()}


def _in_groups(modules: dict[str, Any]) -> Iterator[list[str]]:
    """Yield names of layers whose products of inputs stand in memory together; of a large base, a few layers at a
    time.
    """
    group: list[str] = []
    held = 0
    for name, module in modules.items():
        size = 4 * module.in_features**2
        if group and held + size > PRODUCTS:
            yield group
            group, held = [], 0
        group.append(name)
        held += size
    yield group


def _root(products: torch.Tensor) -> torch.Tensor:
    """Return the lower-triangular root of a layer's damped products; a channel that was always zero counts a little."""
    squares = products.diagonal()
    floor = 1e-6 * float(squares.mean()) or 1.0
    squares += DAMPING * squares + floor
    return torch.as_tensor(torch.linalg.cholesky(products))


def _look_at(model: Any, head: AnswerHead, packs: Sequence[Pack]) -> None:
    was_training = model.training
    model.eval()
    with torch.no_grad():
        for pack in packs:
            pack_loss(model, head, pack, model.device)
    model.train(was_training)


def _first_packs(dataset: TrainingDataset, capacity: int) -> list[Pack]:
    """Return packs of the first rows that are learned, as many as have SEEN_TOKENS; a step of many rows is not looked
    at whole.
    """
    rows: list[TokenRow] = []
    seen = 0
    for index in (index for step in dataset.steps for index in step.rows):
        rows.append(dataset.rows[index])
        seen += own_length(rows[-1], dataset.prefix)
        if seen >= SEEN_TOKENS:
            break
    return pack_rows(rows, dataset.prefix, capacity)


def _adapted(model: Any) -> dict[str, Any]:
    from peft.tuners.lora import LoraLayer

    return {name: module for name, module in model.get_base_model().named_modules() if isinstance(module, LoraLayer)}


def _errors(model: Any, base: Path, names: Collection[str]) -> Iterator[tuple[str, Any, torch.Tensor]]:
    """Yield name, layer with its adapter, and what quantising took from its weight (out, in), for each of these layers,
    one at a time.
    """
    from safetensors import safe_open

    modules = _adapted(model)
    for path in sorted(base.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 - no mapping
                name = key.removesuffix(".weight")
                if name in names and key != name:
                    kept = Layer(modules[name].get_base_layer()).dequantised()
                    yield name, modules[name], file.get_tensor(key).to(kept.device).float() - kept.float()


def _main_part(matrix: torch.Tensor, module: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the first singular directions of a matrix, as many as the adapter has ranks: (out, r), (r,) and (in,
    r).
    """
    rank = module.lora_A["default"].weight.shape[0]
    left, values, right = torch.svd_lowrank(matrix, q=min(2 * rank, *matrix.shape), niter=8)
    return left[:, :rank], values[:rank], right[:, :rank]


def _start(module: Any, down: torch.Tensor, up: torch.Tensor) -> None:
    with torch.no_grad():
        module.lora_A["default"].weight.copy_(down)
        module.lora_B["default"].weight.copy_(up / module.scaling["default"])
