"""QERA (arXiv 2410.06040): adapters start from the output error that quantising the base to 4 bits made.

The 4-bit base stays as it is, so an adapter that was started this way is served like any other.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tasks.reuse.progress import Reporter
from tasks.training.adapters.fused_linear import FrozenLinear
from tasks.training.rows import TokenRow
from tasks.training.step.chunk_sizes import PRODUCT_BYTES
from tasks.training.step.loss import AnswerHead, pack_loss
from tasks.training.step.packing import Pack, TrainingDataset, own_length, pack_rows

if TYPE_CHECKING:
    from schemas.sections.training import TrainingConfig

# Tokens whose layer inputs are measured.
CALIBRATION_TOKENS = 4096
# Share of each input channel's mean square that is added to it: a few thousand tokens estimate the covariance of a few
# thousand channels only roughly.
DAMPING = 0.1
# Norm of a row of A as peft initialises it, whatever the size of the layer: uniform, with variance 1 / (3 inputs).
USUAL_NORM = 3**-0.5


def start_adapters(
    model: Any,
    head: AnswerHead,
    dataset: TrainingDataset,
    capacity: int,
    base: Path,
    training: TrainingConfig,
    reporter: Reporter,
) -> None:
    """Start the adapters by QERA where training.adapter says so; others keep peft's start."""
    if training.adapter_kind == "qera":
        share = start_from_output_error(model, head, dataset, capacity, base)
        reporter.say(f"QERA start: the adapters recover {share:.0%} of the NF4 output error")


def start_from_output_error(model: Any, head: AnswerHead, dataset: TrainingDataset, capacity: int, base: Path) -> float:
    """Start each adapter so that the quantised layer's outputs on the first train rows are as close as its rank allows
    to those of the original layer (QERA's exact form).

    Returns the mean over layers of the share of the squared output error that the adapter recovers. A layer that no row
    passes through, such as one for images, or that has another name in the base's files, keeps peft's start and counts
    as 0.

    With C = L L' the mean of x x' over a layer's inputs, an adapter B A leaves the mean squared error |(W - Q - B A)
    L|^2. The best B A of a rank is the truncated SVD of (W - Q) L, multiplied by the inverse of L. Any root of C gives
    the same adapter; a triangular one is the cheapest. The rows of A get the norm that peft starts them with, so that a
    learning rate means the same as for other adapters.
    """
    run = functools.partial(_run_packs, model, head, _calibration_packs(dataset, capacity))
    shares: list[float] = []
    modules = _adapted(model)
    for names in _in_groups(modules):
        products = input_products(model, names, run)
        for name, module, error in _quantisation_errors(model, base, products.keys()):
            root = _root(products.pop(name))
            weighted = error @ root
            left, values, right = _truncated_svd(weighted, module)
            shares.append(float(values.square().sum() / weighted.square().sum()))
            down = torch.linalg.solve_triangular(root, right.t(), upper=False, left=False)
            norms = down.norm(dim=1, keepdim=True) / USUAL_NORM
            _set_adapter(module, down / norms, left * values * norms.t())
    return sum(shares) / len(modules)


def input_products(model: Any, names: Collection[str], run: Callable[[], None]) -> dict[str, torch.Tensor]:
    """Return layer name -> mean of x x' (in, in) over the inputs x of these layers while `run` computes."""
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
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return {name: total.div_(counts[name]) for name, total in sums.items()}


def _in_groups(modules: dict[str, Any]) -> Iterator[list[str]]:
    """Yield names of layers whose input products fit into memory together; of a large base, a few layers at a time."""
    group: list[str] = []
    held = 0
    for name, module in modules.items():
        size = 4 * module.in_features**2
        if group and held + size > PRODUCT_BYTES:
            yield group
            group, held = [], 0
        group.append(name)
        held += size
    yield group


def _root(products: torch.Tensor) -> torch.Tensor:
    """Return the Cholesky factor of a layer's damped products; a channel that was always zero counts a little."""
    squares = products.diagonal()
    floor = 1e-6 * float(squares.mean()) or 1.0
    squares += DAMPING * squares + floor
    return torch.as_tensor(torch.linalg.cholesky(products))


def _run_packs(model: Any, head: AnswerHead, packs: Sequence[Pack]) -> None:
    was_training = model.training
    model.eval()
    with torch.no_grad():
        for pack in packs:
            pack_loss(model, head, pack, model.device)
    model.train(was_training)


def _calibration_packs(dataset: TrainingDataset, capacity: int) -> list[Pack]:
    """Return packs of the first rows in training order, as many rows as have CALIBRATION_TOKENS."""
    rows: list[TokenRow] = []
    tokens = 0
    for index in itertools.chain.from_iterable(step.rows for step in dataset.steps):
        rows.append(dataset.rows[index])
        tokens += own_length(rows[-1], dataset.prefix)
        if tokens >= CALIBRATION_TOKENS:
            break
    return pack_rows(rows, dataset.prefix, capacity)


def _adapted(model: Any) -> dict[str, Any]:
    from peft.tuners.lora import LoraLayer

    return {name: module for name, module in model.get_base_model().named_modules() if isinstance(module, LoraLayer)}


def _quantisation_errors(model: Any, base: Path, names: Collection[str]) -> Iterator[tuple[str, Any, torch.Tensor]]:
    """Yield name, layer with its adapter, and W - Q (out, in), for each of these layers, one at a time."""
    from safetensors import safe_open

    modules = _adapted(model)
    for path in sorted(base.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 - no mapping
                name = key.removesuffix(".weight")
                if name in names and key != name:
                    quantised = FrozenLinear(modules[name].get_base_layer()).dequantised()
                    original = file.get_tensor(key).to(quantised.device)
                    yield name, modules[name], original.float() - quantised.float()


def _truncated_svd(matrix: torch.Tensor, module: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the SVD of a matrix to the adapter's rank: (out, r), (r,) and (in, r)."""
    rank = module.lora_A["default"].weight.shape[0]
    left, values, right = torch.svd_lowrank(matrix, q=min(2 * rank, *matrix.shape), niter=8)
    return left[:, :rank], values[:rank], right[:, :rank]


def _set_adapter(module: Any, down: torch.Tensor, up: torch.Tensor) -> None:
    with torch.no_grad():
        module.lora_A["default"].weight.copy_(down)
        module.lora_B["default"].weight.copy_(up / module.scaling["default"])
