"""What is sealed of a fit: weights, configs, log and facts, without a path, a time or a machine's name in them."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel as Facts

from tasks.training.step.packing import TrainingDataset

if TYPE_CHECKING:
    from schemas.sections.training import TrainingConfig

ADAPTER_WEIGHTS = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
FULL_WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class BaseModel:
    """The base: its sealed folder, and the name and revision by which an adapter refers to it."""

    folder: Path
    name: str
    revision: str | None


class Fitted(Facts):
    """The result of a fit: the fields of AdapterArtifact that training knows."""

    parameters: int
    steps: int
    train_tokens: int
    train_loss: float
    validation_loss: float | None
    seconds: float


def seal(
    out: Path, best: Path, last: Path, state: dict[str, Any], training: TrainingConfig, base: BaseModel,
    dataset: TrainingDataset, dtype: str,
) -> dict[str, Any]:  # fmt: skip
    """Write best/, last/, log.jsonl and facts.json into `out`; return the facts that the artifact carries.

    Args:
        out: the folder whose files are sealed.
        best: the saved weights with the lowest validation loss.
        last: the last checkpoint.
        state: its trainer's state.
        training: the settings of the fit.
        base: the base that the adapter refers to.
        dataset: what was trained on.
        dtype: the number format of matrix products, "bf16" or "fp32".
    """
    for source, name in ((best, "best"), (last, "last")):
        seal_weights(source, out / name, base.folder, base.name, base.revision)
    log = state["log_history"]
    lines = [json.dumps(entry, sort_keys=True) + "\n" for entry in log]
    (out / "log.jsonl").write_text("".join(lines), encoding="utf-8")
    facts = _facts(log, dataset, count_parameters(out / "last"))
    has_adapter, best_step = training.method != "full", state["best_global_step"] or state["global_step"]
    chosen = {
        "method": training.method,
        "adapter": training.adapter_kind if has_adapter else None,
        "rank": training.rank if has_adapter else None,
        "dtype": dtype,
        "best_step": best_step,
        "best_epoch": dataset.steps[best_step - 1].done,
        "rows": len(dataset.rows) - dataset.texts,
        "validation_rows": len(dataset.validation),
        "shared_prefix": dataset.prefix,
    }
    chosen |= {"replay": training.replay, "texts": dataset.texts} if dataset.texts else {}
    write_json(out / "facts.json", facts | chosen)
    return facts


def _facts(log: list[dict[str, Any]], dataset: TrainingDataset, parameters: int) -> dict[str, Any]:
    steps = [entry for entry in log if "loss" in entry]
    losses = [entry["validation_loss"] for entry in log if "validation_loss" in entry]
    last_epoch = dataset.steps[steps[-1]["step"] - 1].epoch
    of_last_epoch = [entry["loss"] for entry in steps if dataset.steps[entry["step"] - 1].epoch == last_epoch]
    return {
        "parameters": parameters,
        "steps": len(steps),
        "train_tokens": sum(entry["tokens"] for entry in steps),
        "train_loss": round(sum(of_last_epoch) / len(of_last_epoch), 6),
        "validation_loss": min(losses) if losses else None,
    }


def seal_weights(saved: Path, target: Path, base: Path, name: str, revision: str | None) -> None:
    """Copy saved weights into `target`: an adapter, or a whole model in the base's number format, with its config."""
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
    """Return the number of sealed weights, which is the number of trained ones."""
    from safetensors import safe_open

    path = next(sealed.glob("*.safetensors"))
    with safe_open(path, framework="pt") as weights:
        return sum(math.prod(weights.get_slice(key).get_shape()) for key in weights.keys())  # noqa: SIM118


def write_json(path: Path, value: object) -> None:
    """Write JSON in one form: sorted keys, an indent of one."""
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")
