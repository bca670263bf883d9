"""What a stage's key is made of: a flat table of named ingredients, so that a miss can say which one changed.

A key contains no path, no time, no run id and no machine's name. Comments and docstrings of the source do not count;
the code that a stage calls does.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from schemas.artifacts import Artifact
from schemas.errors import TuneworthyError
from schemas.sources import BaseSource, SourceFile

Ingredients = dict[str, Any]
OWN_PACKAGES = ("tasks", "schemas")
# What decides when a stage runs, not what it answers: a change to it must not invalidate results.
NOT_IN_KEYS = ("tasks.reuse", "schemas.errors")


def canonical(value: object) -> bytes:
    """Return the canonical spelling of a JSON value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest_of(value: object) -> str:
    """Return the sha256 of a JSON value's canonical spelling, in hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


def flatten(name: str, value: object) -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, JSON scalar) for everything in `value` that may change a stage's answer.

    Raises:
        TuneworthyError: `value` is of a kind that has no stable spelling; a stage never silently runs uncached.
    """
    if isinstance(value, Artifact):
        yield name, _sealed_digest(name, value)
    elif isinstance(value, SourceFile):
        yield name, f"{value.digest}{value.suffix}"
    elif isinstance(value, BaseSource):
        yield f"{name}.name", f"{value.name}@{value.revision}"
        yield from flatten(name, value.files)
        yield f"{name}.thinking", value.thinking
        if value.chat_template:
            yield from flatten(f"{name}.chat_template", value.chat_template)
    elif isinstance(value, BaseModel):
        yield from _flatten_model(name, value)
    elif isinstance(value, Mapping):
        for key in sorted(value):
            yield from flatten(f"{name}.{key}", value[key])
    elif isinstance(value, (list, tuple)):
        yield f"{name}.#", len(value)
        for position, item in enumerate(value):
            yield from flatten(f"{name}.{position}", item)
    elif value is None or isinstance(value, (str, int, float, bool)):
        yield name, value
    else:
        raise TuneworthyError(
            f"{name}: a {type(value).__name__} cannot be part of a stage's key; pass a number, a text, a config "
            "section or an artifact."
        )


def _sealed_digest(name: str, artifact: Artifact) -> str:
    if not artifact.digest:
        raise TuneworthyError(
            f"{name}: this {type(artifact).__name__} is not sealed, so no key can be made from it; pass what the "
            "stage returned."
        )
    return artifact.digest


def _flatten_model(name: str, model: BaseModel) -> Iterator[tuple[str, Any]]:
    for field, info in type(model).model_fields.items():
        extra = info.json_schema_extra
        if not (isinstance(extra, dict) and extra.get("in_key") is False):
            yield from flatten(f"{name}.{field}", getattr(model, field))


def library_versions(names: Iterable[str]) -> Ingredients:
    """Return ``library.NAME -> version`` ("missing" where one is not installed) of packages that affect numbers."""
    return {f"library.{name}": _version(name) for name in names}


@functools.cache
def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def source_digests(modules: Iterable[str]) -> Ingredients:
    """Return ``source.MODULE -> digest`` of the named modules and of all of ours that they import, at any depth."""
    seen: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in seen and not module.startswith(NOT_IN_KEYS):
            seen.add(module)
            waiting += _parsed(module)[1]
    return {f"source.{module}": _parsed(module)[0] for module in sorted(seen)}


@functools.cache
def _parsed(module: str) -> tuple[str, tuple[str, ...]]:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise TuneworthyError(
            f"stage source {module} cannot be found; a stage's key covers every module of ours that it imports."
        )
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    imported = tuple(sorted(set(_own_imports(tree))))
    _drop_docstrings(tree)
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16], imported


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the statements right below a node; expressions, most of a tree, hold no imports and no docstrings."""
    for part in ("body", "orelse", "finalbody", "handlers", "cases"):
        below = getattr(node, part, None)
        if isinstance(below, list):
            yield from below


def _own_imports(node: ast.AST) -> Iterator[str]:
    for child in _statements(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.ImportFrom) and child.module and child.module.split(".")[0] in OWN_PACKAGES:
            spec = importlib.util.find_spec(child.module)
            is_package = spec is not None and spec.submodule_search_locations is not None
            yield from (f"{child.module}.{alias.name}" for alias in child.names) if is_package else [child.module]
        elif isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names if alias.name.split(".")[0] in OWN_PACKAGES)
        yield from _own_imports(child)


def _drop_docstrings(node: ast.AST) -> None:
    if (
        isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and ast.get_docstring(node, clean=False) is not None
    ):
        node.body = node.body[1:] or [ast.Pass()]
    for child in _statements(node):
        _drop_docstrings(child)


def changed_ingredients(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return (name, old value, new value) of every ingredient that differs; None stands for absent."""
    names = sorted(old.keys() | new.keys())
    return [(name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)]
