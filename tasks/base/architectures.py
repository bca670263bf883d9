"""Which bases transformers knows as causal language models, read from its source: importing it would load torch."""

from __future__ import annotations

import ast
import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Any

from schemas.errors import ConfigRefused


def refuse_architecture(name: str, config: dict[str, Any]) -> None:
    """Refuse a base that does not write text from left to right, or that transformers does not know.

    Raises:
        ConfigRefused: either is so.
    """
    kind, classes = config.get("model_type"), config.get("architectures") or []
    what = f"{name} is a {' or '.join(classes) or kind or 'model without model_type in its config.json'}"
    causal, masked = (_classes(f"MODEL_FOR_{task}_MAPPING_NAMES") for task in ("CAUSAL_LM", "MASKED_LM"))
    is_encoder = kind in masked and not config.get("is_decoder") and not set(classes) & causal.get(kind, frozenset())
    if config.get("is_encoder_decoder") or is_encoder:
        raise ConfigRefused(
            f"base.model: {what}, an encoder or a model with one, which does not write text from left to right. Name a "
            "causal language model, such as one for chat."
        )
    if kind not in causal:
        raise ConfigRefused(
            f'base.model: {what}, and this version of transformers does not know "{kind}" as a causal language model. '
            "Name another base, or install a version of transformers that does."
        )
    headless = [one for one in classes if "For" in one and one not in causal[kind]]
    if headless and len(headless) == len(classes):
        raise ConfigRefused(
            f"base.model: {what}, which was made for another task and has no output layer for text. Name the model "
            f"that it came from ({' or '.join(sorted(causal[kind]))})."
        )


def is_known(config: dict[str, Any]) -> bool:
    """Return whether transformers has code of its own for this model, so that what auto_map names is not needed."""
    classes = _classes("MODEL_FOR_CAUSAL_LM_MAPPING_NAMES").get(str(config.get("model_type")), frozenset())
    return bool(classes & set(config.get("architectures") or ()))


@lru_cache
def _classes(table: str) -> dict[str, frozenset[str]]:
    """Return model_type -> the classes that a table of transformers' auto classes names for it."""
    spec = importlib.util.find_spec("transformers")
    path = Path(str(spec and spec.origin)).parent / "models" / "auto" / "modeling_auto.py"
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == table:
            pairs = ast.literal_eval(node.value.args[0])  # type: ignore[attr-defined]  # OrderedDict([...])
            return {kind: frozenset([names] if isinstance(names, str) else names) for kind, names in pairs}
    raise LookupError(table)
