"""The three methods: which weights are trained, and how the base is held in memory.

qlora   the base in 4-bit NormalFloat with double quantisation; adapters in fp32
lora    the base in the machine's training dtype; adapters in fp32
full    every weight, held in fp32; products in bf16 through autocast where the machine has it

An adapter is one of four kinds (training.adapter): lora, rslora (another scale), qera (another start) or dora (a
trained length for each output).
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers.training_args import OptimizerNames

from schemas.errors import ConfigRefused, LibraryMissing
from tasks.inference.precision import numbered
from tasks.reuse.memory import hand_back
from tasks.training.adapters.fused_linear import fuse_adapters
from tasks.training.step.attention import NAME, packed_attention
from tasks.training.step.kernels import fuse_norms_and_gates
from tasks.training.suitability import named_layers, refuse_rank

if TYPE_CHECKING:
    from schemas.sections.training import TrainingConfig

# peft's settings for each kind of adapter; qera is started by tasks/training/adapters/qera.py.
VARIANTS: dict[str, dict[str, Any]] = {
    "lora": {},
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "qera": {},
}
EXPERTS = {"gate_proj", "up_proj", "down_proj", "w1", "w2", "w3"}
# transformers' names of the optimisers; all but the first are bitsandbytes' and need a CUDA card.
OPTIMIZERS = {
    "adamw": OptimizerNames.ADAMW_TORCH,
    "adamw_8bit": OptimizerNames.ADAMW_8BIT,
    "paged_adamw": OptimizerNames.PAGED_ADAMW,
    "paged_adamw_8bit": OptimizerNames.PAGED_ADAMW_8BIT,
}


def load_model(
    folder: Path, training: TrainingConfig, dtype: torch.dtype, device: str, *, is_checkpointed: bool = False
) -> Any:
    """Return the base of a sealed folder, ready to be trained by the method, with attention for packed rows; if
    `is_checkpointed`, layers are computed again in the backward pass.

    Raises:
        ConfigRefused: the base is already quantised, or has no linear layer for an adapter, or none of the named ones.
        LibraryMissing: the method needs a package that is not installed.
    """
    from transformers import AttentionInterface, AutoConfig, AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if getattr(config, "quantization_config", None):
        raise ConfigRefused(
            "base.model is already quantised; training starts from 16- or 32-bit weights. Name the unquantised model."
        )
    AttentionInterface.register(NAME, packed_attention)
    weights = torch.float32 if training.method == "full" else dtype
    places: dict[str, Any] = {"dtype": weights, "device_map": {"": numbered(device)}, "attn_implementation": NAME}
    places |= {"quantization_config": _four_bits(dtype)} if training.method == "qlora" else {}
    model = AutoModelForCausalLM.from_pretrained(
        folder, config=config, local_files_only=True, trust_remote_code=False, use_safetensors=True, **places
    )
    if not getattr(model, "_supports_attention_backend", False):
        raise ConfigRefused(
            f"base.model: {type(model).__name__} does not let its attention be replaced (transformers' "
            "AttentionInterface), so rows cannot be packed. Name another base model."
        )
    model.config.use_cache = False
    if training.method == "qlora":
        _copy_out_of_file(model)
    if training.method == "full":
        _freeze_towers(model)
    else:
        model = _with_adapters(model, training)
        fuse_norms_and_gates(model, device)
    if is_checkpointed:
        model.activation_checkpointing_enable({"use_reentrant": False})
    return model


def _copy_out_of_file(model: Any) -> None:
    """Copy what was not quantised out of the mapped file: one tensor left there keeps all 16-bit weights resident."""
    for tensor in [*model.parameters(), *model.buffers()]:
        if tensor.device.type == "cpu" and getattr(tensor, "quant_state", None) is None:
            tensor.data = tensor.data.clone()
    hand_back()  # what quantising used on the way


def _four_bits(dtype: torch.dtype) -> Any:
    try:
        import bitsandbytes  # noqa: F401
    except ImportError as missing:
        message = (
            'training.method "qlora" needs bitsandbytes; it is not installed. Run: pip install bitsandbytes, or set '
            'training.method "lora".'
        )
        raise LibraryMissing(message) from missing
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )


def _with_adapters(model: Any, training: TrainingConfig) -> Any:
    from peft import LoraConfig, get_peft_model

    targets = named_layers(linear_layers(model), training.targets)
    smallest = min(min(layer.in_features, layer.out_features) for layer in targets.values())
    refuse_rank(training.rank, smallest)
    model.requires_grad_(False)
    config = LoraConfig(
        r=training.rank,
        lora_alpha=training.alpha or 2 * training.rank,
        lora_dropout=training.dropout,
        task_type="CAUSAL_LM",
        target_modules=list(targets),  # peft's "all-linear" takes layers for images and the experts' parameters too
        **VARIANTS[training.adapter_kind],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by an old name
        adapted = get_peft_model(model, config)
    fuse_adapters(adapted)
    return adapted


def _freeze_towers(model: Any) -> None:
    """Leave what reads images or sound as it is: rows of text give it no gradient."""
    for module, is_trained in ((model, False), (model.get_decoder(), True), (model.get_output_embeddings(), True)):
        module.requires_grad_(is_trained)


def linear_layers(model: Any) -> dict[str, Any]:
    """Return the linear layers that get an adapter, by name: all of the text decoder but the output layer and gates of
    one output; in a mixture of experts those of attention, as peft takes every other for the experts' one parameter.

    Raises:
        ConfigRefused: there is none; the message lists the kinds of layers that there are.
    """
    head, inside = model.get_output_embeddings(), set(model.get_decoder().modules())
    is_mixture = any(type(module).__name__.endswith("Experts") for module in inside)
    found = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
        and module in inside
        and module is not head
        and module.out_features > 1
        and not (is_mixture and name.rpartition(".")[2] in EXPERTS)
    }
    if not found:
        kinds = ", ".join(sorted({type(module).__name__ for module in model.modules() if not list(module.children())}))
        raise ConfigRefused(
            f"training.method needs linear layers, and this base has none but its output layer ({kinds}). Set "
            'training.method "full".'
        )
    return found
