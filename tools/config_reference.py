"""Writes docs/config.md from the settings in schemas/, or checks that it is up to date.

python tools/config_reference.py [--check]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from schemas.config import RunConfig  # noqa: E402

PAGE = ROOT / "docs" / "config.md"
HEAD = """# Settings

Made by `make reference-write` from the descriptions in schemas/; do not edit. One YAML file is one whole run. A key
that is not listed here is refused, with the nearest one named; `--set section.setting=value` overrides one setting on
the command line. Paths start at the config file's folder.

A setting marked • tells *where* something is or how the work is done, never *what* comes out (a file counts by
its content): changing it alone makes nothing run again. Every other setting is part of the key of the stages that
read it.
"""
BOUNDS = {
    Ge: ("≥", "ge"),
    Gt: (">", "gt"),
    Le: ("≤", "le"),
    Lt: ("<", "lt"),
    MinLen: ("length ≥", "min_length"),
    MaxLen: ("length ≤", "max_length"),
}


def main(arguments: list[str]) -> int:
    """Write the page, or compare it; return 1 when it is out of date."""
    text = reference()
    if "--check" not in arguments:
        PAGE.write_text(text, encoding="utf-8")
        print(f"{PAGE.relative_to(ROOT)} written")
        return 0
    is_fresh = PAGE.exists() and PAGE.read_text(encoding="utf-8") == text
    told = "up to date" if is_fresh else "out of date; run: make reference-write"
    print(f"docs/config.md is {told}", file=sys.stdout if is_fresh else sys.stderr)
    return 0 if is_fresh else 1


def reference() -> str:
    """Return the whole page."""
    return "\n".join([HEAD, *_section("", RunConfig)]).rstrip() + "\n"


def _section(name: str, model: type[BaseModel]) -> Iterator[str]:
    yield f"## {name or 'The run'}\n"
    yield f"{_first_paragraph(model)}\n"
    yield from ("| Setting | Value | Default | Meaning |", "|---|---|---|---|")
    for field, info in model.model_fields.items():
        yield _row(field, info)
    yield ""
    for field, info in model.model_fields.items():
        for kind in _models(info.annotation):
            yield from _section(f"{name}.{field}{_tag(kind)}".lstrip("."), kind)


def _tag(kind: type[BaseModel]) -> str:
    """Return what tells this kind from the others of its union."""
    told = kind.model_fields.get("format")
    return f" (format {get_args(told.annotation)[0]})" if told else ""


def _row(field: str, info: FieldInfo) -> str:
    extra = info.json_schema_extra
    mark = " •" if isinstance(extra, dict) and extra.get("in_key") is False else ""
    cells = (f"`{field}`{mark}", _value(info), _default(info), info.description or "Which kind this is.")
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _value(info: FieldInfo) -> str:
    bounds = [
        f"{BOUNDS[type(rule)][0]} {getattr(rule, BOUNDS[type(rule)][1])}"
        for rule in info.metadata
        if type(rule) in BOUNDS
    ]
    patterns = [f"matching `{rule.pattern}`" for rule in info.metadata if getattr(rule, "pattern", None)]
    return ", ".join([_type(info.annotation), *bounds, *patterns])


def _type(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(inner[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if _is_union(origin):
        return _union(inner)
    if origin is tuple:
        return f"list of {_type(inner[0])}"
    if origin is dict:
        return f"{_type(inner[0])} → {_type(inner[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    return {str: "text", int: "whole number", float: "number", bool: "true or false", type(None): "nothing"}.get(
        annotation, str(annotation)
    )


def _is_union(origin: Any) -> bool:
    return origin is UnionType or origin is Union


def _union(members: tuple[Any, ...]) -> str:
    names = [_type(member) for member in members if member is not type(None)]
    return ", ".join(dict.fromkeys(names)) if "section" not in names[1:] else "section, one of the kinds below"


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "**needed**"
    value = info.get_default(call_default_factory=True)
    if value is None or isinstance(value, BaseModel) or value == {}:
        return "none" if not isinstance(value, BaseModel) else ""
    return ", ".join(f"`{item}`" for item in value) if isinstance(value, tuple) else f"`{value}`"


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    for inner in (annotation, *get_args(annotation)):
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield inner
        elif (get_origin(inner) is Annotated or _is_union(get_origin(inner))) and inner is not annotation:
            yield from _models(inner)


def _first_paragraph(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").partition("\n\n")[0].split())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
