"""What a base model's files tell before any is loaded: plan and validate say it, and fetch_base once it converted."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from schemas.errors import ConfigRefused, ModelMissing, TuneworthyError
from schemas.sources import BaseSource
from tasks.base.architectures import is_known, refuse_architecture
from tasks.base.weights import read_tensors, refuse_missing, refuse_not_finite
from tasks.inference.prompts.rendering import leading_bos, template_facts
from tasks.inference.quietness import quietly

# More bytes than this take longer to look at than `plan` may take; fetch_base looks at all of them.
QUICKLY_READ = 1_000_000_000
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")


def inspect_files(name: str, paths: list[Path], template: str | None = None) -> None:
    """Refuse a base for what its files tell; a GGUF file tells nothing until it is converted.

    Args:
        name: of the base, for messages.
        paths: its files, all in one folder.
        template: the chat template of base.chat_template, which takes the place of its own.

    Raises:
        ConfigRefused: it is not a causal language model, needs code, is already quantised, has no usable chat template,
            or weights that are not finite.
        ModelMissing: its files are incomplete or damaged.
    """
    files = {path.name: path for path in paths}
    if "config.json" not in files:
        return
    tensors = read_tensors(name, paths)
    config = read_json(name, files["config.json"])
    refuse_code(name, config, files)
    refuse_architecture(name, config)
    index = files.get("model.safetensors.index.json")
    refuse_missing(name, config, read_json(name, index).get("weight_map", {}) if index else {}, tensors)
    if sum(tensor.end - tensor.start for tensor in tensors.values()) <= QUICKLY_READ:
        refuse_not_finite(name, tensors)
    if not files.keys() & set(TOKENIZERS):
        raise _no_tokenizer(name, f"none of {', '.join(TOKENIZERS)} is there")
    if "tokenizer.json" in files:
        from transformers import PreTrainedTokenizerFast  # the one class that needs no torch

        tokenizer = load_tokenizer(PreTrainedTokenizerFast, name, files["tokenizer.json"].parent)
        inspect_tokenizer(tokenizer, config, template or own_template(files))


def template_of(source: BaseSource) -> str | None:
    """Return the text of base.chat_template, or None where the base's own is used."""
    return Path(source.chat_template.path).read_text(encoding="utf-8") if source.chat_template else None


def load_tokenizer(kind: Any, name: str, folder: Path) -> Any:
    """Return the tokenizer in a folder, loaded by one of transformers' classes.

    Raises:
        ModelMissing: it cannot be loaded.
    """
    try:
        with quietly():
            return kind.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
    except Exception as fault:  # each tokenizer class fails in its own way
        raise _no_tokenizer(name, str(fault)) from fault


def _no_tokenizer(name: str, why: str) -> ModelMissing:
    return ModelMissing(
        f"base.model: the tokenizer of {name} cannot be loaded: {why}. The model needs its tokenizer's files "
        "(tokenizer.json, tokenizer_config.json)."
    )


def inspect_tokenizer(tokenizer: Any, config: dict[str, Any], template: str | None) -> None:
    """Give a tokenizer its chat template; refuse one that cannot be used, and tokens that the model does not know.

    Raises:
        ConfigRefused: see template_facts and leading_bos; or text may become a token without an embedding.
    """
    tokenizer.chat_template = template or tokenizer.chat_template
    try:
        template_facts(tokenizer)
        leading_bos(tokenizer)
    except TuneworthyError:
        raise
    except Exception as fault:  # a template is a program of somebody else's
        raise ConfigRefused(
            f"base.model: this model's chat template cannot be rendered ({type(fault).__name__}: {fault}). Set "
            "base.chat_template to a file with one that can."
        ) from fault
    embeddings = (config.get("text_config") or config).get("vocab_size") or math.inf
    unknown = {place: token for token, place in tokenizer.get_vocab().items() if place >= embeddings}
    # Special tokens that the template does not write are no text: some makers leave those of images in.
    special = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    for place, token in sorted(unknown.items()):
        if token not in special or token in tokenizer.get_chat_template():
            raise ConfigRefused(
                f"base.model: its tokenizer does not belong to it: token {place} ({token!r}) is beyond the model's "
                f"{embeddings} embeddings. Use the model's own tokenizer, or resize the model's embeddings to it."
            )


def own_template(files: dict[str, Path]) -> str | None:
    """Return the chat template in a file that a tokenizer does not read by itself, or None."""
    path = None if "chat_template.jinja" in files else files.get("chat_template.json")
    return read_json("the base", path).get("chat_template") if path else None


def read_json(name: str, path: Path) -> dict[str, Any]:
    """Return the object of a JSON file of a model.

    Raises:
        ModelMissing: it holds none.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as fault:
        raise ModelMissing(f"base.model: {path.name} of {name} is damaged ({fault}). Fetch the model again.") from fault
    if not isinstance(content, dict):
        raise ModelMissing(f"base.model: {path.name} of {name} does not contain a JSON object. Fetch the model again.")
    return content


def refuse_code(name: str, config: dict[str, Any], files: dict[str, Path]) -> None:
    """Refuse a model that cannot be loaded without code of its own, or whose weights are quantised already.

    Raises:
        ConfigRefused: either is so.
    """
    settings = files.get("tokenizer_config.json")
    with_code = {
        "config.json": config.get("auto_map") and not is_known(config),
        "tokenizer_config.json": settings and read_json(name, settings).get("auto_map"),
    }
    if needing := [file for file, needs_code in with_code.items() if needs_code]:
        raise ConfigRefused(
            f"base.model: {name} needs code of its own (auto_map in {', '.join(needing)}), which is never run here. "
            "Name a model of an architecture that transformers supports."
        )
    if config.get("quantization_config"):
        raise ConfigRefused(
            f'base.model: {name} is already quantised. Name the 16-bit model; training.method "qlora" quantises it.'
        )
