"""Copies of a base whose tokenizer or chat template is not the one that rows were checked with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path


def with_template(base: Path, folder: Path, change: Callable[[str], str]) -> Path:
    """Return a copy of a base whose chat template is changed."""
    made = Path(shutil.copytree(base, folder))
    template = made / "chat_template.jinja"
    template.write_text(change(template.read_text(encoding="utf-8")), encoding="utf-8")
    return made


def with_swapped_tokens(base: Path, folder: Path, one: str = "h", other: str = "a") -> Path:
    """Return a copy of a base whose tokenizer gives two tokens each other's ids."""
    made = Path(shutil.copytree(base, folder))
    path = made / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary[one], vocabulary[other] = vocabulary[other], vocabulary[one]
    path.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    return made


def tampered(base: Path, folder: Path, how: str) -> Path:
    """Return a copy that is changed in its "tokenizer" or its "template"."""
    return (
        with_swapped_tokens(base, folder)
        if how == "tokenizer"
        else with_template(base, folder, lambda text: text.replace("<|im_end|>", " <|im_end|>"))
    )
