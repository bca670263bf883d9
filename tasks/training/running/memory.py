"""What a fit takes, counted before it starts from the base's config.json and the headers of its weights; no library is
loaded for it.

The counts follow what the passes keep (tasks/training/adapters/adapter_layers.py, attention.py, loss.py) layer by layer
of a Llama-like base: torch's own count of allocated bytes agrees within 5%
(tests/training/running/test_training_memory.py). What a process has taken before, its libraries and rows, is measured
and added. Resident memory on a CPU is more than was asked for: freed tensors of many lengths leave holes in the heap.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.training.step.sizes import CHUNK, PRODUCTS, ROWS

if TYPE_CHECKING:
    from schemas.training_config import TrainingConfig

WIDTHS = {"bf16": 2, "fp32": 4}
# Bytes of a weight in NF4: half a byte, one 8-bit scale for 64 weights, and the scales' own scales.
NF4 = 0.5 + 1 / 64 + 4 / (64 * 256)
# Resident bytes for one that a pass asked for, in the ten steps between two trims of the heap. Measured on
# SmolLM2-135M: 1.3 after one step, 1.8 (bf16) and 1.5 (fp32) after six, 1.3 for full, where most of a step stands in
# large pieces. On a card PyTorch's own allocator rounds up (not measured).
HOLES = {"bf16": 1.8, "fp32": 1.5}
HOLES_FULL = 1.3
HOLES_ON_CARD = 1.1
# bytes of the optimiser's states for one trained number
STATES = {"adamw": 8, "adamw_8bit": 2, "paged_adamw": 8, "paged_adamw_8bit": 2}
# On a CPU a product over more tokens than this is no faster (2.0 ms a token in packs of 800 and of 1,500, 2.1 in packs
# of 500), only larger.
ENOUGH = {"cpu": 800, "cuda": 16_384}
# Some of what is free stays free: other processes grow as well.
SHARE = 0.5


@dataclass(frozen=True)
class Linear:
    """One linear layer that may get an adapter: its name without ".weight", and its size."""

    name: str
    outputs: int
    inputs: int


@dataclass(frozen=True)
class Shape:
    """The sizes of a base that its memory follows from; `stored` is the bytes of its files."""

    layers: int
    hidden: int
    inner: int
    queries: int
    keys: int
    heads: int
    vocabulary: int
    parameters: int
    stored: int
    linears: tuple[Linear, ...]

    @property
    def in_linears(self) -> int:
        """Number of weights in the linear layers of the blocks: what is quantised."""
        return sum(layer.outputs * layer.inputs for layer in self.linears)

    @property
    def head(self) -> int:
        """Number of weights of the output layer."""
        return self.vocabulary * self.hidden


def read_shape(base: Path) -> Shape:
    """Return the shape of a base folder from its config.json and the headers of its safetensors files."""
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    config = config.get("text_config") or config
    tensors = {name: size for path in sorted(base.glob("*.safetensors")) for name, size in _header(path).items()}
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    of_head = config.get("head_dim") or hidden // heads
    inside = (
        name
        for name, size in tensors.items()
        if len(size) == 2 and name.endswith(".weight") and re.search(r"\.\d+\.", name)
    )
    return Shape(
        layers=config["num_hidden_layers"],
        hidden=hidden,
        inner=config.get("intermediate_size") or 4 * hidden,
        queries=heads * of_head,
        keys=(config.get("num_key_value_heads") or heads) * of_head,
        heads=heads,
        vocabulary=config["vocab_size"],
        parameters=sum(_product(size) for size in tensors.values()),
        stored=sum(path.stat().st_size for path in base.glob("*.safetensors")),
        linears=tuple(Linear(name.removesuffix(".weight"), *tensors[name]) for name in sorted(inside)),
    )


def _header(path: Path) -> dict[str, list[int]]:
    """Return name -> size of the tensors in a safetensors file: eight bytes of length, then JSON."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return {name: entry["shape"] for name, entry in header.items() if name != "__metadata__"}


def _product(size: Sequence[int]) -> int:
    count = 1
    for side in size:
        count *= side
    return count


def trained_parameters(shape: Shape, training: TrainingConfig) -> int:
    """Return how many numbers the method trains."""
    if training.method == "full":
        return shape.parameters
    ends = None if training.targets is None else tuple(f".{target}" for target in training.targets)
    chosen = [layer for layer in shape.linears if ends is None or f".{layer.name}".endswith(ends)]
    lengths = sum(layer.outputs for layer in chosen) if training.adapter_kind == "dora" else 0
    return sum(training.rank * (layer.outputs + layer.inputs) for layer in chosen) + lengths


@dataclass(frozen=True)
class Estimate:
    """Bytes that a fit takes at its peak beyond what the process holds already; `holes` is what the heap wastes beside
    them.
    """

    weights: int
    adapter: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    holes: int
    loading: int

    @property
    def total(self) -> int:
        """The peak: of a step, or of loading where that takes more."""
        step = (
            self.weights + self.adapter + self.gradients + self.optimizer + self.activations + self.logits + self.holes
        )
        return max(step, self.loading)

    @property
    def held(self) -> int:
        """What stays from step to step, whatever the size of a pack."""
        return self.weights + self.adapter + self.gradients + self.optimizer


def estimate(
    shape: Shape, training: TrainingConfig, dtype: str, device: str, pack: Pack, *, is_checkpointed: bool = False
) -> Estimate:
    """Return what a fit takes with passes of this size, in this number format ("bf16" or "fp32"), on this device ("cpu"
    or "cuda").
    """
    trained, is_full = trained_parameters(shape, training), training.method == "full"
    activations = pack.tokens * token_bytes(shape, training, dtype, pack.row, is_checkpointed=is_checkpointed)
    logits = logit_bytes(shape, training, dtype, pack.answers) + (
        block_bytes(shape, training, dtype, pack) if is_checkpointed else 0
    )
    weights = weight_bytes(shape, training.method, dtype)
    return Estimate(
        weights=weights,
        adapter=0 if is_full else 4 * trained,
        gradients=4 * trained,
        optimizer=STATES[training.optimizer] * trained,
        activations=activations,
        logits=logits,
        holes=int((holes(training.method, dtype, device) - 1) * (activations + logits)),
        loading=weights
        + (shape.stored if device == "cpu" else 0)
        + (product_bytes(shape) if training.adapter_kind == "qera" else 0),
    )


def product_bytes(shape: Shape) -> int:
    """Return what products of layers' inputs take at once while adapters are started from them: as many layers' as
    PRODUCTS allows, at least one.
    """
    sizes = [4 * layer.inputs**2 for layer in shape.linears]
    return max(min(PRODUCTS, sum(sizes)), 2 * max(sizes, default=0))  # a layer's products, and their root beside them


def holes(method: str, dtype: str, device: str) -> float:
    """Return the bytes that the allocator takes for each one that a pass asks for."""
    if device != "cpu":
        return HOLES_ON_CARD
    return HOLES_FULL if method == "full" else HOLES[dtype]


@dataclass(frozen=True)
class Pack:
    """The size of one pass: its input tokens, those that are answers, and the tokens of its usual row (prefix
    included).
    """

    tokens: int
    answers: int
    row: int


def weight_bytes(shape: Shape, method: str, dtype: str) -> int:
    """Return what the base takes as the method holds it, with the one layer that is dequantised at a time."""
    width = WIDTHS[dtype]
    if method == "qlora":
        largest = max((layer.outputs * layer.inputs for layer in shape.linears), default=0)
        return int(NF4 * shape.in_linears) + width * (shape.parameters - shape.in_linears + largest)
    if method == "lora":
        return width * shape.parameters
    return 4 * shape.parameters + (
        2 * (shape.in_linears + shape.head) if dtype == "bf16" else 0
    )  # autocast keeps bf16 copies of what it multiplies


def token_bytes(shape: Shape, training: TrainingConfig, dtype: str, row: int, *, is_checkpointed: bool = False) -> int:
    """Return what one token of a pack keeps for the backward pass: of each layer everything, or only its input where
    layers are computed again.
    """
    return shape.layers * (
        WIDTHS[dtype] * shape.hidden if is_checkpointed else _layer_bytes(shape, training, dtype, row)
    )


def _layer_bytes(shape: Shape, training: TrainingConfig, dtype: str, row: int) -> int:
    width = WIDTHS[dtype]
    feed_forward = 4 * width * shape.inner  # gate, its activation, up, their product
    scores = width * shape.heads * row
    if training.method == "full" and dtype == "bf16":  # fp32 states, and a bf16 copy in front of each product
        return 28 * shape.hidden + feed_forward + 2 * shape.queries + 4 * shape.keys + scores
    norms = (
        4 * 4 + 2 * width if training.method == "full" else 4 * width
    ) * shape.hidden  # of each of two: its input, and what it gives to the adapters
    attention = width * (2 * shape.queries + 2 * shape.keys)
    return norms + attention + feed_forward + scores + _adapter_bytes(shape, training, width)


def _adapter_bytes(shape: Shape, training: TrainingConfig, width: int) -> int:
    """Return what a layer's adapters keep of a token: their inner states; with DoRA, in peft's own way, inputs and
    outputs in fp32 as well.
    """
    if training.method == "full" or not shape.layers:
        return 0
    per_layer = len(shape.linears) / shape.layers
    inner = width * training.rank * per_layer
    sides = sum(layer.inputs + layer.outputs for layer in shape.linears) / shape.layers
    dropped = width * sum(layer.inputs for layer in shape.linears) / shape.layers if training.dropout else 0
    return int(inner + dropped + (4.4 * sides if training.adapter_kind == "dora" else 0))


def logit_bytes(shape: Shape, training: TrainingConfig, dtype: str, answers: int) -> int:
    """Return what the loss takes at once: the logits of a chunk, some rows of them twice in fp32; full: the output
    layer's gradients.
    """
    chunk = (min(answers, CHUNK) * WIDTHS[dtype] + min(answers, ROWS) * 8) * shape.vocabulary
    return chunk + (shape.head * 8 if training.method == "full" else 0)


def block_bytes(shape: Shape, training: TrainingConfig, dtype: str, pack: Pack) -> int:
    """Return what the one layer takes that is being computed again."""
    return pack.tokens * _layer_bytes(shape, training, dtype, pack.row)


def resident_bytes() -> int:
    """Return the resident memory of this process now: libraries, rows and whatever it holds (Linux; 0 elsewhere)."""
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="utf-8").splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:")), 0)


def available_bytes(device: str) -> int:
    """Return the memory that is free on the device now."""
    if device == "cuda":
        import torch

        return int(torch.cuda.mem_get_info()[0])
    lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]) * 1024


def room_for_packs(held: int, device: str) -> int:
    """Return the bytes that packs may take: a share of what is free once `held` (weights, gradients, optimiser states)
    has its place.
    """
    return max(0, int((available_bytes(device) - held) * SHARE))


def pack_capacity(device: str, per_token: int, room: int, longest: int, step_lengths: Sequence[int]) -> int:
    """Return how many input tokens a pack may hold: what there is room for and pays, at least the longest row, at most
    the longest step.
    """
    return max(longest, min(room // per_token, ENOUGH[device], max(step_lengths)))


def in_gigabytes(count: float) -> str:
    """Return a size as the decisions and the plan write it."""
    return f"{count / 1e9:.2f} GB"


def side_by_side(
    shape: Shape, training: TrainingConfig, dtype: str, device: str, pack: Pack
) -> dict[str, tuple[int, Estimate]]:
    """Return method -> (trained parameters, estimate) for full, LoRA and QLoRA with the settings of `training`
    otherwise.
    """
    plain: dict[str, Any] = {"full": {"adapter": "auto", "targets": None}, "lora": {}, "qlora": {}}
    if training.adapter_kind == "pissa":
        plain["qlora"] = {"adapter": "auto"}
    if training.adapter_kind in ("loftq", "qera"):
        plain["lora"] = {"adapter": "auto"}
    settings = {method: training.model_copy(update={"method": method, **changes}) for method, changes in plain.items()}
    return {
        method: (trained_parameters(shape, chosen), estimate(shape, chosen, dtype, device, pack))
        for method, chosen in settings.items()
    }
