"""A draft as YAML: every guess below the comment that says why it was made and what follows."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import yaml

from tasks.data.drafting.guesses import Guess

WIDTH = 118
SECTIONS = ("name", "seed", "task", "data", "base", "arms", "training", "benchmark", "decision", "registry")


def config_text(header: Iterable[str], guesses: Sequence[Guess]) -> str:
    """Return the text of a config file.

    Args:
        header: comment lines above everything.
        guesses: settings such as "data.prompt"; a name without a point is a section of its own.
    """
    lines = [*(f"# {line}" for line in header), ""]
    ordered = sorted(guesses, key=lambda guess: SECTIONS.index(guess.setting.partition(".")[0]))
    for section, members in groupby(ordered, key=lambda guess: guess.setting.partition(".")[0]):
        for number, guess in enumerate(members):
            setting = guess.setting.partition(".")[2]
            if setting and number == 0:
                lines.append(f"{section}:")
            lines += _setting(setting or section, guess, "  " if setting else "")
    return "\n".join(lines) + "\n"


def _setting(name: str, guess: Guess, indent: str) -> Iterator[str]:
    told = [_sentence(part) for part in (guess.why, guess.effect) if part]
    comments = [" ".join(told)] if told else []
    comments += [f"QUESTION: {guess.question}"] if guess.question else []
    for comment in comments:
        yield from textwrap.wrap(
            comment, WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}#   ", break_on_hyphens=False
        )
    yield from textwrap.indent(_dumped(name, guess.value), indent).splitlines()


def _sentence(text: str) -> str:
    begun = text if "://" in text.partition(" ")[0] else f"{text[:1].upper()}{text[1:]}"
    return begun if begun.endswith((".", "?")) else f"{begun}."


class _Dumper(yaml.SafeDumper):
    """Writes a text of several lines as a block."""


def _as_block(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _as_block)


def _dumped(name: str, value: Any) -> str:
    """Return one setting; a mapping or list in the short form, on one line where it fits."""
    if isinstance(value, dict | list):
        flow = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=WIDTH)
        return f"{name}: {textwrap.indent(flow, '  ').lstrip()}"
    return yaml.dump({name: value}, Dumper=_Dumper, allow_unicode=True, width=WIDTH - 8)
