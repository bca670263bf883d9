"""Adapters that were never trained but change what a model says: for rooms that stand behind training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from schemas.artifacts import AdapterArtifact, ModelArtifact
from tasks.inference.prompts.golden import GoldenRow, seal_golden
from tasks.reuse.store import ArtifactStore


def write_adapter(base: Path, folder: Path, *, seed: int = 1, scale: float = 0.05) -> None:
    """Write a LoRA adapter with random weights for a base into `folder`/best, as training seals it."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base), LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    )
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=scale)
    model.save_pretrained(folder / "best")
    (folder / "best" / "README.md").unlink(missing_ok=True)
    config = json.loads((folder / "best" / "adapter_config.json").read_text())
    (folder / "best" / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "tiny"}))


def write_full(base: Path, folder: Path, *, seed: int = 1, scale: float = 0.05) -> None:
    """Write every weight of a base, moved a little, into `folder`/best, as full fine-tuning seals it."""
    import torch
    from safetensors.torch import save_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base)
    for parameter in model.parameters():
        parameter.data += torch.randn_like(parameter) * scale
    (folder / "best").mkdir(parents=True)
    save_model(model, str(folder / "best" / "model.safetensors"))


def seal_folder(store: ArtifactStore, kind: str, source: Path) -> str:
    """Seal a copy of a folder; returns its digest."""
    import shutil

    aside = store.folder("work") / f"seal-{kind}"
    shutil.copytree(source, aside)
    return store.seal(kind, aside)


def tokenizer_of(folder: Path) -> Any:
    """Return a base's tokenizer."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def sealed_base(store: ArtifactStore, folder: Path) -> ModelArtifact:
    """Seal a base model's folder into a store."""
    template = tokenizer_of(folder).chat_template
    return ModelArtifact(
        digest=seal_folder(store, "model", folder),
        name="tiny",
        parameters=1,
        template_digest=hashlib.sha256(template.encode()).hexdigest(),
    )


def sealed_adapter(
    store: ArtifactStore,
    base: ModelArtifact,
    folder: Path,
    method: str = "lora",
    scale: float = 0.05,
    log: str = "",
    seed: int = 1,
    write: Callable[..., None] | None = None,
) -> AdapterArtifact:
    """Seal a random adapter, or what `write` makes, for a sealed base into a store; `folder` is scratch."""
    (write or (write_full if method == "full" else write_adapter))(
        store.open(base.digest), folder, scale=scale, seed=seed
    )
    (folder / "log.jsonl").write_text(log, encoding="utf-8")
    seal_golden(
        [GoldenRow("train", 1, "hi", "you"), GoldenRow("held_out", 2, "and you?", "me")],
        "Be brief.",
        tokenizer_of(store.open(base.digest)),
        folder,
    )
    return AdapterArtifact(
        digest=seal_folder(store, "adapter", folder),
        method=method,
        base_digest=base.digest,
        template_digest=base.template_digest,
        parameters=1,
        steps=1,
        train_tokens=1,
        train_loss=1.0,
        validation_loss=None,
        seconds=0.0,
    )
