"""What a lenient reader makes of an answer: the first object, label, query or match in it, past the words around it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tasks.answers.calls import read_calls

if TYPE_CHECKING:
    from schemas.sections.task import Answer

Read = Callable[[str], str]

FENCE = re.compile(r"```[\w+-]*[ \t]*\n(.*?)(?:\n?[ \t]*```|\Z)", re.DOTALL)
QUERY = re.compile(
    r"(?:\bselect\b|\bwith\s+(?:recursive\s+)?\w+\s*(?:\(|\bas\b)).*?(?=;|\Z)", re.IGNORECASE | re.DOTALL
)
MOST_TRIES = 100  # opening braces that are tried: a text of nothing else would take quadratic time


def lenient_reader(answer: Answer) -> Read:
    """Return how answers to a task are read leniently; what contains nothing to read comes back as it is."""
    if answer.format == "choice":
        return _label_reader(answer.labels)
    if answer.format == "json":
        return first_object
    if answer.format == "sql":
        return first_query
    if answer.format == "tool_call":
        return calls_alone
    if answer.pattern is None:
        return without_fence
    pattern = re.compile(answer.pattern)
    return lambda text: found[0] if (found := pattern.search(text)) else text


def without_fence(text: str) -> str:
    """Return the content of the code fence if the whole text is one."""
    found = FENCE.fullmatch(text.strip())
    return found[1] if found else text


def first_object(text: str) -> str:
    """Return the first JSON object in a text."""
    for brace in [found.start() for found in re.finditer(r"\{", text)][:MOST_TRIES]:
        try:
            _, end = json.JSONDecoder().raw_decode(text, brace)
        except (ValueError, RecursionError):
            continue
        return text[brace:end]
    return text


def calls_alone(text: str) -> str:
    """Return the tool calls in a text as JSON."""
    calls, _ = read_calls(text)
    return json.dumps(calls) if calls else text


def first_query(text: str) -> str:
    """Return the first query in a text, or in its first code fence, without what follows its semicolon."""
    fence = FENCE.search(text)
    found = QUERY.search(fence[1] if fence else text)
    return found[0] if found else text


def _label_reader(labels: Sequence[str]) -> Read:
    """Return a reader of the first label that stands as a whole word, the longest of several at one place; in any case
    unless case tells labels apart.
    """
    named = {_spaced(label): label for label in labels}
    folded = {name.casefold(): label for name, label in named.items()}
    folds = len(folded) == len(named)
    by_length = sorted(named, key=len, reverse=True)
    one_of = "|".join(r"\s+".join(map(re.escape, name.split())) for name in by_length)
    pattern = re.compile(rf"(?<!\w)(?:{one_of})(?!\w)", re.IGNORECASE if folds else 0)

    def read(text: str) -> str:
        found = pattern.search(text)
        if found is None:
            return text
        name = _spaced(found[0])
        return (folded.get(name.casefold()) if folds else named.get(name)) or text

    return read


def _spaced(text: str) -> str:
    return " ".join(text.split())
