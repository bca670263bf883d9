"""A base model's files become one folder of safetensors and tokenizer files: no code, no pickles, no local paths."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.errors import ConfigRefused, LibraryMissing, ModelMissing
from schemas.sources import BaseSource
from tasks.base.thinking import settled
from tasks.inference.prompts.rendering import template_facts
from tasks.inference.quietness import quietly

# Keys that say where a model was loaded from, which is no property of the model.
PLACES = ("_name_or_path", "_model_name_or_path", "name_or_path", "is_local", "local_files_only")


@dataclass(frozen=True)
class ModelFacts:
    """Facts about a converted model: its parameters (tied ones once), dtype, template, and how it was made."""

    parameters: int
    dtype: str
    template_digest: str
    how: str


def convert_base(source: BaseSource, out: Path) -> ModelFacts:
    """Write the model into `out` and return its facts. Equal input gives equal bytes.

    Raises:
        ConfigRefused: it needs code from its repository, is already quantised, or has no usable chat template.
        ModelMissing: its files are incomplete or damaged.
        LibraryMissing: it is a GGUF file and the gguf package is not installed.
    """
    paths = [Path(file.path) for file in source.files]
    is_gguf = paths[0].suffix == ".gguf"
    if is_gguf:
        _unpack_gguf(source.name, paths[0], out)
    else:
        _refuse_code(source.name, paths)
        _place_files(paths, out)
    tokenizer = _tokenizer(source.name, out)
    template_facts(tokenizer)
    template = settled(tokenizer, source.thinking)
    (out / "chat_template.jinja").write_text(template, encoding="utf-8")
    parameters, dtype = _measured(source.name, out)
    for path in out.glob("*.json"):
        _without_places(path)
    how = "converted from GGUF" if is_gguf else "used as it is"
    return ModelFacts(parameters, dtype, hashlib.sha256(template.encode()).hexdigest(), how)


def _unpack_gguf(name: str, path: Path, out: Path) -> None:
    """Write a GGUF's weights, dequantised, as bf16 safetensors: the precision that small models are trained in."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    try:
        import gguf  # noqa: F401  (transformers would report it differently)
    except ImportError as fault:
        raise LibraryMissing(
            f"base.model: {name} is a GGUF file; reading it needs the gguf package. Install it with `pip install gguf`."
        ) from fault
    place = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name, "trust_remote_code": False}
    with quietly(), contextlib.redirect_stderr(io.StringIO()):  # one of its progress bars cannot be switched off
        try:
            model = AutoModelForCausalLM.from_pretrained(
                **place, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
            )
            tokenizer = AutoTokenizer.from_pretrained(**place)
        except Exception as fault:  # not a GGUF file, a damaged one, an unknown architecture: each fails in its own way
            raise ConfigRefused(
                f"base.model: {name} ({path.name}) cannot be read: {type(fault).__name__}: {fault}. Name a model as "
                "safetensors instead."
            ) from fault
        model.save_pretrained(out)
        tokenizer.save_pretrained(out)


def _refuse_code(name: str, paths: list[Path]) -> None:
    descriptions = {
        path.name: _read_json(name, path) for path in paths if path.name in ("config.json", "tokenizer_config.json")
    }
    with_code = [file for file, content in descriptions.items() if content.get("auto_map")]
    if with_code:
        raise ConfigRefused(
            f"base.model: {name} needs code of its own (auto_map in {', '.join(with_code)}), which is never run here. "
            "Name a model of an architecture that transformers supports."
        )
    if descriptions["config.json"].get("quantization_config"):
        raise ConfigRefused(
            f'base.model: {name} is already quantised. Name the 16-bit model; training.method "qlora" quantises it.'
        )


def _read_json(name: str, path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as fault:
        raise ModelMissing(f"base.model: {path.name} of {name} is damaged ({fault}). Fetch the model again.") from fault
    if not isinstance(content, dict):
        raise ModelMissing(f"base.model: {path.name} of {name} does not contain a JSON object. Fetch the model again.")
    return content


def _place_files(paths: list[Path], out: Path) -> None:
    """Link the weights (they are large and only read), copy the rest (some of it is rewritten)."""
    for path in paths:
        target = out / path.name
        try:
            if path.suffix != ".safetensors":
                raise OSError
            os.link(path.resolve(), target)
        except OSError:  # also: another disk, or a file system without hard links
            shutil.copyfile(path, target)


def _tokenizer(name: str, out: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(str(out), trust_remote_code=False, local_files_only=True)
    except Exception as fault:  # each tokenizer class fails in its own way
        raise ModelMissing(
            f"base.model: the tokenizer of {name} cannot be loaded: {fault}. The model needs its tokenizer's files "
            "(tokenizer.json, tokenizer_config.json)."
        ) from fault


def _measured(name: str, out: Path) -> tuple[int, str]:
    """Return the number of parameters and the most frequent dtype, read from the headers of the weight files."""
    from safetensors import SafetensorError, safe_open

    _check_shards(name, out)
    sizes: dict[str, int] = {}
    try:
        for path in sorted(out.glob("*.safetensors")):
            with safe_open(path, framework="np") as weights:
                for key in weights.keys():  # noqa: SIM118  (not a dict)
                    part = weights.get_slice(key)
                    sizes[part.get_dtype()] = sizes.get(part.get_dtype(), 0) + math.prod(part.get_shape())
    except (SafetensorError, OSError) as fault:
        raise ModelMissing(f"base.model: the weights of {name} are damaged: {fault}. Fetch the model again.") from fault
    return sum(sizes.values()), max(sizes, key=lambda dtype: sizes[dtype])


def _check_shards(name: str, out: Path) -> None:
    index = out / "model.safetensors.index.json"
    names = set(_read_json(name, index).get("weight_map", {}).values()) if index.is_file() else set()
    missing = sorted(part for part in names if not (out / part).is_file())
    if missing:
        raise ModelMissing(
            f"base.model: {name} is missing {len(missing)} of {len(names)} weight files ({', '.join(missing[:3])}). "
            "Fetch the model again."
        )


def _without_places(path: Path) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(content, dict) and any(key in content for key in PLACES):
        kept = {key: value for key, value in content.items() if key not in PLACES}
        path.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
