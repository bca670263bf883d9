"""What is sealed: weights and configs without a path, a time or a machine's name in them."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

ADAPTER_WEIGHTS = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
FULL_WEIGHTS = "model.safetensors"


def seal_weights(saved: Path, target: Path, base: Path, name: str, revision: str | None) -> None:
    """Copy saved weights into `target`: an adapter with its config, or a whole model in the base's own number format
    with the base's config.
    """
    target.mkdir(parents=True)
    if not (saved / ADAPTER_WEIGHTS).exists():
        _seal_full(saved, target, base)
        return
    shutil.copyfile(saved / ADAPTER_WEIGHTS, target / ADAPTER_WEIGHTS)
    config = json.loads((saved / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    config |= {"base_model_name_or_path": name, "revision": revision, "inference_mode": True}
    write_json(target / ADAPTER_CONFIG, _ordered(config))


def _seal_full(saved: Path, target: Path, base: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    dtype = getattr(torch, config.get("dtype") or config.get("torch_dtype") or "float32")
    weights = {
        key: value.to(dtype)
        for path in sorted(saved.glob("model*.safetensors"))
        for key, value in load_file(path).items()
    }
    save_file(weights, target / FULL_WEIGHTS, metadata={"format": "pt"})
    write_json(target / "config.json", config)


def _ordered(config: dict[str, Any]) -> dict[str, Any]:
    # peft writes some lists in the order of a set, which differs from process to process.
    return {
        key: sorted(value) if isinstance(value, list) and all(isinstance(item, str) for item in value) else value
        for key, value in config.items()
    }


def count_parameters(sealed: Path) -> int:
    """Return how many numbers the sealed weights hold, which is how many were trained."""
    from safetensors import safe_open

    path = next(sealed.glob("*.safetensors"))
    with safe_open(path, framework="pt") as weights:
        return sum(math.prod(weights.get_slice(key).get_shape()) for key in weights.keys())  # noqa: SIM118


def write_json(path: Path, value: object) -> None:
    """Write JSON in one spelling: sorted keys, an indent of one."""
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")
