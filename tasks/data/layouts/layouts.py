"""Layouts: the forms in which a record holds a request and its answer. One detector serves the runs and `init`.

prompt_completion   two columns, named by data.prompt and data.completion or told by their names: texts, or messages
                    with the last one in the completion
messages            a list of turns, under any of the usual names of column, keys and speakers: an optional system
                    message, then user and assistant in turn. The last answer is the completion, the last request the
                    prompt, and the turns before are the history
sharegpt            the same under `conversations`
alpaca              instruction, input or context (may be empty), and output or response
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.data.layouts.conversations import is_conversation
from tasks.data.layouts.known_names import (
    ANSWERS,
    CALLS,
    CHOSEN,
    CONVERSATIONS,
    LABELS,
    LOSS_OF,
    REJECTED,
    REQUESTS,
    plain,
)
from tasks.data.layouts.values import parsed

if TYPE_CHECKING:
    from schemas.sections.data import DataConfig

DEFAULTS = {
    "prompt_completion": {"prompt": "prompt", "completion": "completion"},
    "messages": {"messages": "messages"},
    "sharegpt": {"messages": "conversations"},
    "alpaca": {"prompt": "instruction", "completion": "output"},
}


@dataclass(frozen=True)
class Layout:
    """A layout's name and the columns that it cannot do without: (part, column), the part as its setting is called."""

    name: str
    parts: tuple[tuple[str, str], ...]

    @property
    def columns(self) -> dict[str, str]:
        """Part -> column."""
        return dict(self.parts)

    @property
    def is_own(self) -> bool:
        """Whether its columns have the names that the layout gives them."""
        own = DEFAULTS[self.name]
        return self.columns in (own, own | {"completion": "response"}) if self.name == "alpaca" else self.columns == own

    @property
    def in_words(self) -> str:
        """Its name, with the columns where they are not the layout's own."""
        if self.is_own:
            return self.name
        return f"{self.name} ({' -> '.join(self.columns.values())})"

    @property
    def settings(self) -> dict[str, str]:
        """Setting or part -> column, as a message names them."""
        if self.name == "prompt_completion":
            return {f"data.{part}": column for part, column in self.parts}
        several = len(self.parts) > 1
        return {f"data.layout {self.name}{f', {column}' if several else ''}": column for _, column in self.parts}


def named_layout(name: str, data: DataConfig, columns: Iterable[str] = ()) -> Layout:
    """Return a layout by its name, with the columns that the config names and else the layout's own."""
    own = dict(DEFAULTS[name])
    if name == "alpaca" and "output" not in columns and "response" in columns:
        own["completion"] = "response"
    return Layout(name, tuple((part, getattr(data, part) or column) for part, column in own.items()))


def detected(records: Iterable[Mapping[str, Any]], data: DataConfig) -> Layout:
    """Return the layout that fits most of these records; prompt_completion if none fits any."""
    fits = Counter(layout for record in records if (layout := layout_of(record, data)))
    return max(fits, key=lambda layout: fits[layout]) if fits else named_layout("prompt_completion", data)


def layout_of(record: Mapping[str, Any], data: DataConfig) -> Layout | None:
    """Return the layout of one record; None if it has none that is known."""
    if data.layout != "detected":
        return named_layout(data.layout, data, record)
    if data.messages:
        return named_layout("messages", data)
    if not (data.prompt or data.completion):
        if pair := _pair(record):
            return pair
        for name in ("prompt_completion", "messages", "sharegpt", "alpaca"):
            layout = named_layout(name, data, record)
            if set(layout.columns.values()) <= record.keys():
                return layout
        talks = _conversation_column(record)
        if talks is not None:
            return Layout("messages", (("messages", talks),))
    return _by_names(record, data)


def _pair(record: Mapping[str, Any]) -> Layout | None:
    """Return the layout of a chosen and a rejected answer; None where a conversation beside them holds the request."""
    chosen = next((name for name in record if plain(name) in CHOSEN), None)
    names = {plain(name) for name in record}
    if chosen is None or not names & REJECTED or names & CONVERSATIONS:
        return None
    asked = "prompt" if "prompt" in record else one_named(record, REQUESTS - {"input"}, {"input"})
    if asked is not None:
        return Layout("prompt_completion", (("prompt", asked), ("completion", chosen)))
    return Layout("messages", (("messages", chosen),)) if is_conversation(record[chosen]) else None


def _conversation_column(record: Mapping[str, Any]) -> str | None:
    talks = [name for name in record if is_conversation(record[name]) and plain(name) not in LOSS_OF]
    named = [name for name in record if plain(name) in CONVERSATIONS and _is_list_of_objects(record[name])]
    found = named or talks
    return found[0] if len(found) == 1 and "completion" not in record else None


def _is_list_of_objects(value: object) -> bool:
    value = parsed(value)
    return isinstance(value, list) and bool(value) and all(isinstance(turn, dict) for turn in value)


def _by_names(record: Mapping[str, Any], data: DataConfig) -> Layout | None:
    """Return the two columns that the config names, or whose names alone say what they are."""
    left = [name for name in record if name not in (data.prompt, data.completion, *data.ignore)]
    # Beside a "Best Answer" or two, a category is a fact about the question.
    tiers = (ANSWERS,) if any(plain(name).endswith(("answer", "answers")) for name in left) else (ANSWERS, LABELS)
    completion = data.completion or one_named(left, *tiers, CALLS)
    prompt = data.prompt or one_named([name for name in left if name != completion], REQUESTS - {"input"}, {"input"})
    if data.prompt or data.completion:
        return named_layout("prompt_completion", data.model_copy(update={"prompt": prompt, "completion": completion}))
    return (
        Layout("prompt_completion", (("prompt", prompt), ("completion", completion))) if prompt and completion else None
    )


def one_named(columns: Iterable[str], *tiers: Iterable[str]) -> str | None:
    """Return the one column with a name of the first tier that has any; None if there is none or more than one."""
    listed = list(columns)
    found = next((found for names in tiers if (found := [name for name in listed if plain(name) in names])), [])
    return found[0] if len(found) == 1 else None
