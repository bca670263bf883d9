"""A base model's files become one folder of safetensors and tokenizer files: no code, no pickles, no local paths."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import ConfigRefused, LibraryMissing
from schemas.sources import BaseSource
from tasks.base.inspection import inspect_files, inspect_tokenizer, load_tokenizer, own_template, read_json, template_of
from tasks.base.thinking import settled
from tasks.base.weights import read_tensors, refuse_lost, refuse_not_finite
from tasks.inference.prompts.clock import with_fixed_clock
from tasks.inference.quietness import quietly

# Keys that say where a model was loaded from, which is no property of the model, or whose code is never run.
PLACES = ("_name_or_path", "_model_name_or_path", "name_or_path", "is_local", "local_files_only", "auto_map")


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
        ConfigRefused: it needs code from its repository, is already quantised, has no usable chat template, or is no
            causal language model.
        ModelMissing: its files are incomplete or damaged.
        LibraryMissing: it is a GGUF file and the gguf package is not installed.
    """
    from transformers import AutoTokenizer

    paths = [Path(file.path) for file in source.files]
    is_gguf = paths[0].suffix == ".gguf"
    given = template_of(source)
    if is_gguf:
        _unpack_gguf(source.name, paths[0], out)
    else:
        inspect_files(source.name, paths, given)
        _place_files(paths, out)
        given = given or own_template({path.name: path for path in paths})
        _load_without_numbers(source.name, out)
    tensors = read_tensors(source.name, list(out.iterdir()))
    refuse_not_finite(source.name, tensors)
    tokenizer = load_tokenizer(AutoTokenizer, source.name, out)
    inspect_tokenizer(tokenizer, read_json(source.name, out / "config.json"), given)
    template = with_fixed_clock(settled(tokenizer, source.thinking))
    (out / "chat_template.jinja").write_text(template, encoding="utf-8")
    for path in out.glob("*.json"):
        _without_places(path)
    dtypes: Counter[str] = Counter()
    for tensor in tensors.values():
        dtypes[tensor.dtype] += math.prod(tensor.shape)
    how = "converted from GGUF" if is_gguf else "used as it is"
    digest = hashlib.sha256(template.encode()).hexdigest()
    return ModelFacts(dtypes.total(), dtypes.most_common(1)[0][0], digest, how)


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


def _load_without_numbers(name: str, out: Path) -> None:
    """Load the model without its numbers, to see that the architecture finds each of its weights.

    Raises:
        ConfigRefused: it cannot be loaded.
        ModelMissing: weights are missing.
    """
    from transformers import AutoModelForCausalLM

    try:
        with quietly():
            _, found = AutoModelForCausalLM.from_pretrained(
                str(out),
                device_map={"": "meta"},
                output_loading_info=True,
                trust_remote_code=False,
                local_files_only=True,
                use_safetensors=True,
            )
    except Exception as fault:  # each architecture fails in its own way
        first = str(fault).strip().partition("\n")[0]
        raise ConfigRefused(
            f"base.model: {name} cannot be loaded: {type(fault).__name__}: {first}. Fetch the model again, or name "
            "another base."
        ) from fault
    if found["missing_keys"]:
        refuse_lost(name, sorted(found["missing_keys"]))


def _without_places(path: Path) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(content, dict) and any(key in content for key in PLACES):
        kept = {key: value for key, value in content.items() if key not in PLACES}
        path.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
