"""The memory that a fit takes up, estimated from the base's sizes before anything is loaded.

The counts follow what the passes keep (tasks/training/adapters/fused_linear.py, step/attention.py, step/loss.py) layer
by layer of a Llama-like base: torch's own count of allocated bytes agrees within 5%, with checkpointing within 10%
(tests/training/running/test_memory_estimate.py). What the process takes up before, its libraries and rows, is measured
and added. Resident memory on a CPU is more than what is allocated: freed tensors of many lengths fragment the heap.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.reuse.memory import free_bytes
from tasks.training.shape import Shape
from tasks.training.step.chunk_sizes import CHUNK, PRODUCT_BYTES, ROWS

if TYPE_CHECKING:
    from schemas.sections.training import TrainingConfig

WIDTHS = {"bf16": 2, "fp32": 4}
# Bytes of a weight in NF4: half a byte, one 8-bit scale for 64 weights, and the scales' own scales.
NF4 = 0.5 + 1 / 64 + 4 / (64 * 256)
# Resident bytes for one that a pass allocates, in the ten steps between two trims of the heap. Measured on
# SmolLM2-135M: 1.3 after one step, 1.8 (bf16) and 1.5 (fp32) after six, 1.3 for full, where most of a step is in large
# pieces. On a card PyTorch's own allocator rounds up (not measured).
HOLES = {"bf16": 1.8, "fp32": 1.5}
HOLES_FULL = 1.3
HOLES_ON_CARD = 1.1
# bytes of the optimiser's states for one trained number
STATES = {"adamw": 8, "adamw_8bit": 2, "paged_adamw": 8, "paged_adamw_8bit": 2}
# Larger packs are no faster on a CPU: 2.0 ms a token in packs of 800 and of 1,500, 2.1 in packs of 500.
ENOUGH = {"cpu": 800, "cuda": 16_384}
# Share of the free memory that is used; the rest is left to other processes.
SHARE = 0.5


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
    """Bytes that a fit takes up at its peak beyond the process's own; `fragmentation` is wasted by the allocator."""

    weights: int
    adapter: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    fragmentation: int
    loading: int

    @property
    def total(self) -> int:
        """The peak: of a step, or of loading where that takes more."""
        return max(self.held + self.activations + self.logits + self.fragmentation, self.loading)

    @property
    def held(self) -> int:
        """What is kept from step to step, whatever the size of a pack."""
        return self.weights + self.adapter + self.gradients + self.optimizer


def estimate(
    shape: Shape, training: TrainingConfig, dtype: str, device: str, pack: Pack, *, is_checkpointed: bool = False
) -> Estimate:
    """Return what a fit takes up with passes of this size, in "bf16" or "fp32", on "cpu" or "cuda"."""
    trained, is_full = trained_parameters(shape, training), training.method == "full"
    activations = pack.tokens * token_bytes(shape, training, dtype, pack.row, is_checkpointed=is_checkpointed)
    logits = logit_bytes(shape, training, dtype, pack.answers) + (
        block_bytes(shape, training, dtype, pack) if is_checkpointed else 0
    )
    weights = weight_bytes(shape, training.method, dtype)
    loading = weights + (shape.stored if device == "cpu" else 0)
    loading += product_bytes(shape) if training.adapter_kind == "qera" else 0
    return Estimate(
        weights=weights,
        adapter=0 if is_full else 4 * trained,
        gradients=4 * trained,
        optimizer=STATES[training.optimizer] * trained,
        activations=activations,
        logits=logits,
        fragmentation=int((holes(training.method, dtype, device) - 1) * (activations + logits)),
        loading=loading,
    )


def product_bytes(shape: Shape) -> int:
    """Return what QERA's products of layer inputs take up at once: as many layers as PRODUCT_BYTES allows, or one."""
    sizes = [4 * layer.inputs**2 for layer in shape.linears]
    return max(min(PRODUCT_BYTES, sum(sizes)), 2 * max(sizes, default=0))  # a layer's products and their root


def holes(method: str, dtype: str, device: str) -> float:
    """Return the resident bytes for each byte that a pass allocates."""
    if device != "cpu":
        return HOLES_ON_CARD
    return HOLES_FULL if method == "full" else HOLES[dtype]


@dataclass(frozen=True)
class Pack:
    """The size of one pass: its input tokens, the answers among them, and its usual row's tokens (prefix included)."""

    tokens: int
    answers: int
    row: int


def weight_bytes(shape: Shape, method: str, dtype: str) -> int:
    """Return what the base takes up as the method holds it, with the one layer that is dequantised at a time."""
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
    """Return what a token of a pack keeps for the backward pass: of each layer all or, checkpointed, its input."""
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
    """Return what a layer's adapters keep of a token: their inner states; DoRA keeps inputs and outputs in fp32 too."""
    if training.method == "full" or not shape.layers:
        return 0
    per_layer = len(shape.linears) / shape.layers
    inner = width * training.rank * per_layer
    sides = sum(layer.inputs + layer.outputs for layer in shape.linears) / shape.layers
    dropped = width * sum(layer.inputs for layer in shape.linears) / shape.layers if training.dropout else 0
    return int(inner + dropped + (4.4 * sides if training.adapter_kind == "dora" else 0))


def logit_bytes(shape: Shape, training: TrainingConfig, dtype: str, answers: int) -> int:
    """Return what the loss takes up: a chunk's logits, in part twice in fp32, and with `full` the output layer's."""
    chunk = (min(answers, CHUNK) * WIDTHS[dtype] + min(answers, ROWS) * 8) * shape.vocabulary
    return chunk + (shape.head * 8 if training.method == "full" else 0)


def block_bytes(shape: Shape, training: TrainingConfig, dtype: str, pack: Pack) -> int:
    """Return what the one layer takes up that is being computed again."""
    return pack.tokens * _layer_bytes(shape, training, dtype, pack.row)


def resident_bytes() -> int:
    """Return the resident memory of this process now (Linux; 0 elsewhere)."""
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="utf-8").splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:")), 0)


def room_for_packs(held: int, device: str) -> int:
    """Return the bytes that packs may take up: a share of what is free beyond `held` (weights, gradients, states)."""
    return max(0, int((free_bytes(device) - held) * SHARE))


def pack_capacity(device: str, per_token: int, room: int, longest: int, longest_step: int) -> int:
    """Return how many input tokens a pack may hold: what fits and is faster, between the longest row and step."""
    return max(longest, min(room // per_token, ENOUGH[device], longest_step))


def in_gigabytes(count: float) -> str:
    """Return a size as the decisions and the plan write it."""
    return f"{count / 1e9:.2f} GB"


def side_by_side(
    shape: Shape, training: TrainingConfig, dtype: str, device: str, pack: Pack
) -> dict[str, tuple[int, Estimate]]:
    """Return method -> (trained parameters, estimate) for full, LoRA and QLoRA, all else as in `training`."""
    plain: dict[str, Any] = {"full": {"adapter": "auto", "targets": None}, "lora": {}, "qlora": {}}
    if training.adapter_kind == "qera":
        plain["lora"] = {"adapter": "auto"}
    settings = {method: training.model_copy(update={"method": method, **changes}) for method, changes in plain.items()}
    return {
        method: (trained_parameters(shape, chosen), estimate(shape, chosen, dtype, device, pack))
        for method, chosen in settings.items()
    }
