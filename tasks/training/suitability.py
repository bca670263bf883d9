"""What a base's files and this machine tell of a training before anything is loaded or measured."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from schemas.errors import ConfigRefused, MachineLacks
from schemas.sections.training import TrainingConfig
from tasks.training.shape import read_shape

L = TypeVar("L")
ATTENDING = {"full_attention", "sliding_attention"}
BF16_UNITS = {"avx512_bf16", "amx_bf16", "bf16"}


def refuse_unsuitable(base: Path, training: TrainingConfig) -> None:
    """Refuse a base that cannot be trained on packed rows, and adapters or an optimiser that do not fit.

    Args:
        base: folder with config.json and *.safetensors.
        training: the settings.

    Raises:
        ConfigRefused: the base, `targets` or `rank`.
        MachineLacks: the optimiser needs a card.
    """
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    why = ", ".join(_hindrances(config | (config.get("text_config") or {}), training.method))
    if why:
        raise ConfigRefused(
            f"base.model: training does not support this base: {why}. Name another base model, or set arms.trained to "
            "[] to measure it untrained."
        )
    if training.where is None:
        refuse_without_card(training.optimizer, likely_machine()[0])
    if training.method == "full":
        return
    layers = {layer.name: layer for layer in read_shape(base).linears}
    chosen = named_layers(layers, training.targets).values()
    refuse_rank(training.rank, min((min(layer.outputs, layer.inputs) for layer in chosen), default=training.rank))


def _hindrances(config: dict[str, Any], method: str) -> Iterator[str]:
    """Yield what training on packed rows cannot do for a model, by its config.json and transformers' source of it."""
    if config.get("attn_logit_softcapping"):
        yield "it caps the logits of its attention (attn_logit_softcapping)"
    scaled = [name for name in ("logit_scale", "logits_scaling") if config.get(name, 1) not in (1, None)]
    for name in [*scaled, *(["final_logit_softcapping"] if config.get("final_logit_softcapping") else [])]:
        yield f"it scales its logits ({name})"
    others = set(config.get("layer_types") or ()) - ATTENDING
    if others:
        yield f"it has {', '.join(sorted(others))} layers, which mix neighbouring rows"
    source = _source(str(config.get("model_type")))
    if source and "_supports_attention_backend = True" not in source:
        yield f"transformers does not let the attention of {config['model_type']} be replaced, so rows cannot be packed"
    elif "s_aux=" in source:
        yield "its attention has sinks (s_aux)"
    if "Conv1D(" in source and method != "full":
        yield 'its layers are Conv1D, which an adapter is not made for; training.method "full" trains them'


def _source(kind: str) -> str:
    """Return transformers' source of a kind of model, which says what importing it would take torch for."""
    spec = importlib.util.find_spec("transformers")
    models = Path(str(spec and spec.origin)).parent / "models"
    names = (kind.replace("-", "_"), kind.removesuffix("_text"))
    paths = (models / name / f"modeling_{name}.py" for name in names)
    return next((path.read_text(encoding="utf-8") for path in paths if path.is_file()), "")


def refuse_without_card(optimizer: str, device: str) -> None:
    """Refuse an optimiser whose states are 8-bit or paged where there is no CUDA card.

    Raises:
        MachineLacks: the optimiser needs a card.
    """
    if optimizer != "adamw" and device != "cuda":
        raise MachineLacks(
            f'training.optimizer "{optimizer}" needs a CUDA card, and this machine trains on its {device}. Set '
            '"adamw", or train on a GPU worker.'
        )


def likely_machine() -> tuple[str, str]:
    """Return the device and the number format that training will probably choose, without loading a library."""
    if shutil.which("nvidia-smi"):
        return "cuda", "bf16"
    flags = Path("/proc/cpuinfo")
    words = set(flags.read_text(encoding="utf-8", errors="replace").split()) if flags.exists() else set()
    return "cpu", "bf16" if words & BF16_UNITS else "fp32"


def refuse_rank(rank: int, smallest: int) -> None:
    """Refuse an adapter that would be larger than the smallest of its layers.

    Raises:
        ConfigRefused: it would be.
    """
    if rank > smallest:
        raise ConfigRefused(
            f"training.rank {rank} is above the smallest layer's size {smallest}: the adapter would be larger than the "
            f"layer. Allowed: 1 to {smallest}."
        )


def named_layers(layers: dict[str, L], targets: Sequence[str] | None) -> dict[str, L]:
    """Return the layers whose names end with one of `targets`, all of them where it is None.

    Raises:
        ConfigRefused: a target names no layer; the message lists the names that there are.
    """
    if targets is None:
        return layers
    found = {name: layer for name, layer in layers.items() if _is_any(name, targets)}
    missing = [target for target in targets if not any(_is_any(name, [target]) for name in found)]
    if missing:
        kinds = ", ".join(sorted({name.rpartition(".")[2] for name in layers}))
        raise ConfigRefused(
            f"training.targets: this base has no linear layer named {', '.join(missing)}. It has: {kinds}. Leave "
            "targets out for all of them."
        )
    return found


def _is_any(name: str, targets: Sequence[str]) -> bool:
    return f".{name}".endswith(tuple(f".{target}" for target in targets))
