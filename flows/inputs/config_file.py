"""A config file in, a RunConfig out: every problem of the file at once, each with where it is and what was allowed."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from schemas.config import RunConfig
from schemas.errors import ConfigRefused
from schemas.sections.task import OWN


class _UniqueKeys(yaml.SafeLoader):
    """Refuses a mapping that has one key twice; plain YAML would silently keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        twice = {str(key) for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {', '.join(sorted(twice))} is given twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


def read_config(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Return the config of a file, with ``a.b=value`` overrides applied.

    Raises:
        ConfigRefused: the file does not exist, is not YAML, or does not fit RunConfig; every problem is named.
    """
    tree = _read_yaml(path)
    for override in overrides:
        _apply(tree, override)
    tree.setdefault("folder", str(path.absolute().parent))
    _take_scorer(tree)
    try:
        json.dumps(tree, ensure_ascii=False, default=str).encode()
    except (UnicodeEncodeError, ValueError, TypeError) as fault:
        raise ConfigRefused(
            f"{path}: a text or key cannot be written as UTF-8 JSON ({fault}). Write it anew."
        ) from None
    try:
        return RunConfig.model_validate(tree)
    except ValidationError as error:
        raise ConfigRefused(_problems(str(path), error)) from None


def _refuse_rows(path: Path) -> None:
    """Say of a file that is no config by its name what it is."""
    if path.suffix.lower() in (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".xlsx", ".gz", ".zst"):
        raise ConfigRefused(
            f"{path} is a data file, not a config. `tuneworthy init {path}` writes a config for its rows; name that."
        )


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        tree = yaml.load(text, Loader=_UniqueKeys)  # noqa: S506 - a SafeLoader
    except FileNotFoundError:
        raise ConfigRefused(f"{path}: no such file.{_nearby(path)}") from None
    except (IsADirectoryError, PermissionError) as fault:
        raise ConfigRefused(f"{path} cannot be read: {fault.strerror}. Name a YAML file.") from None
    except UnicodeDecodeError as fault:
        _refuse_rows(path)
        raise ConfigRefused(f"{path} is not UTF-8 (byte {fault.start}). Save it as UTF-8.") from None
    except yaml.YAMLError as fault:
        _refuse_rows(path)
        raise ConfigRefused(f"{path} is not YAML: {' '.join(str(fault).split())}") from None
    if not isinstance(tree, dict):
        _refuse_rows(path)
        raise ConfigRefused(
            f"{path} contains {'nothing' if tree is None else 'a ' + type(tree).__name__}, not settings. Start from "
            "configs/demo.yaml."
        )
    return tree


def _take_scorer(tree: dict[str, Any]) -> None:
    """Put the source of the user's own scorer into the config, so that it goes wherever the config goes."""
    task = tree.get("task")
    metric = task.get("metric") if isinstance(task, dict) else None
    if isinstance(task, dict) and isinstance(metric, str) and OWN.fullmatch(metric):
        path = Path(tree["folder"]) / metric.rpartition(":")[0]
        try:
            task["scorer"] = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as fault:
            reason = getattr(fault, "strerror", None) or "it is not UTF-8"
            raise ConfigRefused(f"task.metric: {path} cannot be read: {reason}. Name a Python file.") from None


def _nearby(path: Path) -> str:
    there = sorted(str(found) for found in path.parent.glob("*.y*ml")) or sorted(
        str(found) for found in Path("configs").glob("*.yaml")
    )
    return f" Config files nearby: {', '.join(there[:8])}." if there else ""


def _apply(tree: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    if not equals or not name.strip():
        raise ConfigRefused(f"--set {override}: write it as --set training.rank=8.")
    *parents, last = name.strip().split(".")
    for parent in parents:
        inner = tree.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise ConfigRefused(f"--set {override}: {parent} is a value, not a section.")
        tree = inner
    try:
        tree[last] = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigRefused(f"--set {override}: the value {text!r} is not YAML; quote it.") from None


def _problems(where: str, error: ValidationError) -> str:
    faults = error.errors(include_url=False)
    lines = [_problem(fault) for fault in faults]
    width = max(len(name) for name, _ in lines)
    count = f"{len(lines)} problem{'s' if len(lines) > 1 else ''}"
    return f"{where} cannot run, {count}:\n" + "\n".join(f"  {name:<{width}}  {text}" for name, text in lines)


def _problem(fault: Any) -> tuple[str, str]:
    location = [str(part) for part in fault["loc"]]
    if location[:2] == ["task", "answer"] and len(location) > 2:
        location.pop(2)  # pydantic puts the union's tag in between
    name = ".".join(location) or "config"
    if fault["type"] == "extra_forbidden":
        return name, f"no such setting{_suggestion(location)}"
    if fault["type"] == "missing":
        return name, "missing; it has no default"
    if location == ["data", "source"] and isinstance(fault.get("input"), list):
        return name, "one text, not a list; several files are named by a glob, such as rows/*.jsonl"
    message = fault["msg"].removeprefix("Value error, ")
    received = fault.get("input")
    shown = f", not {received!r}" if isinstance(received, (str, int, float, bool, type(None))) else ""
    return name, f"{message[:1].lower()}{message[1:]}{shown if 'Value error' not in fault['msg'] else ''}"


MEANT = {"data.test": "data.held_out_source", "data.path": "data.source", "data.files": "data.source"}


def _suggestion(location: list[str]) -> str:
    if meant := MEANT.get(".".join(location)):
        return f"; did you mean {meant}?"
    known = _known_settings(RunConfig)
    near = difflib.get_close_matches(".".join(location), known, n=1, cutoff=0.6)
    by_last_name = [name for name in known if name.split(".")[-1] == location[-1]]
    best = by_last_name or near
    return f"; did you mean {best[0]}?" if best else ""


def _known_settings(model: type[BaseModel], prefix: str = "") -> list[str]:
    names = []
    for field, info in model.model_fields.items():
        names.append(f"{prefix}{field}")
        for inner in (info.annotation, *get_args(info.annotation)):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                names += _known_settings(inner, f"{prefix}{field}.")
    return list(dict.fromkeys(names))
