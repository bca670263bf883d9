"""Branches that start from what 4 bits took away: LoftQ looks at the weights alone, QERA at what the layer gives for the rows at hand.

The 4-bit base stays as it is, so an adapter that was started this way is served like any other.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from tasks.training.branches import Layer
from tasks.training.loss import AnswerHead
from tasks.training.packing import Lesson, Pack, pack_rows
from tasks.training.passes import pack_loss

# Tokens whose states are looked at: sizes of input channels settle after a few hundred.
SEEN_TOKENS = 4096
# Length of a row of the first factor as peft starts it, whatever the size of the layer: uniform, with a variance of a third over the inputs.
USUAL_LENGTH = 3**-0.5


def start_from_weight_error(model: Any, base: Path) -> None:
    """Start each branch as the best approximation, of its rank, of what quantising took from the weights (LoftQ, arXiv 2310.08659, one round).

    peft's own function for a model that is quantised already needs a card, and leaves the branch's scale out.
    """
    for _, module, error in _errors(model, base):
        left, sizes, right = _main_part(error, module)
        root = sizes.sqrt()
        _start(module, (right * root).t(), left * root)


def start_from_output_error(model: Any, head: AnswerHead, lesson: Lesson, capacity: int, base: Path) -> None:
    """Start each branch so that the layer's outputs, over the first train rows, lose least by quantising (QERA, arXiv 2410.06040, its approximate form).

    An error counts as much as the input that it is multiplied by is large: with S the root mean square of each input channel, the branch is the
    main part of (W - Q) S, taken back through S. The first factor gets the length that it usually starts with, so that the rate means the same.
    """
    sizes = channel_sizes(model, functools.partial(_look_at, model, head, _first_packs(lesson, capacity)))
    for name, module, error in _errors(model, base):
        weight = sizes[name].clamp_min(1e-6 * float(sizes[name].max()) or 1.0)
        left, values, right = _main_part(error * weight, module)
        down = (right / weight[:, None]).t()
        lengths = down.norm(dim=1, keepdim=True) / USUAL_LENGTH
        _start(module, down / lengths, left * values * lengths.t())


def channel_sizes(model: Any, look: Callable[[], None]) -> dict[str, torch.Tensor]:
    """Return layer name -> root mean square of each input channel (in,) of the layers with branches, over what `look` puts through the model."""
    sums: dict[str, torch.Tensor] = {}
    counts: dict[str, int] = {}

    def note(name: str, _: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        states = inputs[0].reshape(-1, inputs[0].shape[-1]).float()
        sums[name] = sums.get(name, torch.zeros(())) + states.pow(2).sum(0)
        counts[name] = counts.get(name, 0) + states.shape[0]

    hooks = [module.register_forward_pre_hook(functools.partial(note, name)) for name, module in _branched(model).items()]
    try:
        look()
    finally:
        for hook in hooks:
            hook.remove()
    return {name: (total / counts[name]).sqrt() for name, total in sums.items()}


def _look_at(model: Any, head: AnswerHead, packs: Sequence[Pack]) -> None:
    was_training = model.training
    model.eval()
    with torch.no_grad():
        for pack in packs:
            pack_loss(model, head, pack, model.device)
    model.train(was_training)


def _first_packs(lesson: Lesson, capacity: int) -> list[Pack]:
    """Return the packs of the first steps, as many as have SEEN_TOKENS."""
    packs: list[Pack] = []
    for step in lesson.steps:
        packs += pack_rows([lesson.rows[index] for index in step.rows], lesson.prefix, capacity)
        if sum(pack.input_ids.shape[1] for pack in packs) >= SEEN_TOKENS:
            break
    return packs


def _branched(model: Any) -> dict[str, Any]:
    from peft.tuners.lora import LoraLayer

    return {name: module for name, module in model.get_base_model().named_modules() if isinstance(module, LoraLayer)}


def _errors(model: Any, base: Path) -> Iterator[tuple[str, Any, torch.Tensor]]:
    """Yield name, layer with its branch, and what quantising took from its weight (out, in), a layer at a time."""
    from safetensors import safe_open

    modules = _branched(model)
    for path in sorted(base.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 - no mapping
                name = key.removesuffix(".weight")
                if name in modules and key != name:
                    kept = Layer(modules[name].get_base_layer()).unfolded()
                    yield name, modules[name], file.get_tensor(key).to(kept.device).float() - kept.float()


def _main_part(matrix: torch.Tensor, module: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the first singular directions of a matrix, as many as the branch has ranks: (out, r), (r,) and (in, r)."""
    rank = module.lora_A["default"].weight.shape[0]
    left, values, right = torch.svd_lowrank(matrix, q=min(2 * rank, *matrix.shape), niter=8)
    return left[:, :rank], values[:rank], right[:, :rank]


def _start(module: Any, down: torch.Tensor, up: torch.Tensor) -> None:
    with torch.no_grad():
        module.lora_A["default"].weight.copy_(down)
        module.lora_B["default"].weight.copy_(up / module.scaling["default"])
