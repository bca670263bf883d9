"""How the rows are read: the layout, its columns, and the instruction that the rows bring themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

from schemas.sections.data import DataConfig
from tasks.answers.contract import Breach
from tasks.data.drafting.columns import Column
from tasks.data.drafting.guesses import Guess, Notes, Wishes, quoted
from tasks.data.drafting.roles import COMPLETION, PROMPT, constant_instruction, find_roles
from tasks.data.drafting.sampling import WAY_OUT, Sample
from tasks.data.layouts.conversations import Turns
from tasks.data.layouts.converting import UNREAD, Converter
from tasks.data.layouts.layouts import Layout, detected, named_layout

ONE_MESSAGE = 0.95  # share of the rows with one system message that makes it the task's
TWO_COLUMNS = Guess("data.layout", "prompt_completion", effect="How a row holds request and answer.")
PASSED_OVER = {"own_system_message": "note"}


@dataclass(frozen=True)
class Reading:
    """How the rows are read.

    Attributes:
        guesses: settings of data.
        rows: those that can be read so and have an answer.
        unread: why the others cannot -> how many.
        instruction: what the rows bring as one, or None.
        columns: those that are read.
    """

    guesses: list[Guess]
    rows: list[Turns]
    unread: Counter[str]
    instruction: Guess | None
    columns: set[str]


def read_rows(sample: Sample, columns: list[Column], wishes: Wishes, notes: Notes) -> Reading | None:
    """Return how the rows are read, or None with a question."""
    found = _layout(sample, columns, wishes, notes)
    if found is None:
        return None
    guesses, data, layout = found
    convert = Converter(layout, data)
    read = [convert(record) for record in sample.records]
    rows = [row for row in read if _is_whole(row)]
    unread = Counter(row.detail if isinstance(row, Breach) else "has no answer" for row in read if not _is_whole(row))
    if 2 * len(rows) < len(read):
        told = "; ".join(f"{count:,} rows: {detail}" for detail, count in unread.most_common(3))
        notes.questions.append(
            f"The rows look like the layout {layout.in_words}, but most cannot be read: {told}. {WAY_OUT}"
        )
        return None
    guesses += _own_messages(rows, wishes, notes)
    used = {name for record in sample.records for name, use in convert.uses(record).items() if use != UNREAD}
    return Reading(guesses, rows, unread, _one_message(rows) or _one_column(sample, columns, layout), used)


def _is_whole(row: Turns | Breach) -> TypeGuard[Turns]:
    return isinstance(row, Turns) and bool((row.completion or "").strip())


def _layout(
    sample: Sample, columns: list[Column], wishes: Wishes, notes: Notes
) -> tuple[list[Guess], DataConfig, Layout] | None:
    is_named = wishes.prompt is not None or wishes.completion is not None
    data = DataConfig(source="rows")
    layout = detected(sample.records, data)
    if layout.name == "alpaca" and _has_one_instruction(columns):
        return _two_columns(
            Guess("data.prompt", "input", "the instruction is the same in every row, so it is the task's", PROMPT),
            Guess("data.completion", "output", "by its name", COMPLETION),
        )
    needed = list(layout.columns.values())
    names = {column.name for column in columns}
    is_told = layout.name != "prompt_completion" or needed == ["prompt", "completion"]
    if not is_named and is_told and set(needed) <= names:
        guess = Guess("data.layout", layout.name, f"by its columns {quoted(needed)}", TWO_COLUMNS.effect)
        named = [] if layout.is_own else [Guess("data.messages", needed[0], "it holds conversations")]
        return [guess, *named], data, layout
    roles = find_roles(columns, wishes, notes)
    if roles is None and not is_named and not layout.is_own and set(needed) <= names:
        notes.questions.clear()  # what values leave open, a run tells from the names
        return [Guess("data.layout", "detected", f"by its columns {quoted(needed)}", TWO_COLUMNS.effect)], data, layout
    return None if roles is None else _two_columns(roles.prompt, roles.completion)


def _has_one_instruction(columns: list[Column]) -> bool:
    found = {column.name: column for column in columns}
    return "input" in found and found["input"].filled > ONE_MESSAGE and found["instruction"].distinct == 1


def _two_columns(prompt: Guess, completion: Guess) -> tuple[list[Guess], DataConfig, Layout]:
    data = DataConfig(source="rows", layout="prompt_completion", prompt=prompt.value, completion=completion.value)
    return [TWO_COLUMNS, prompt, completion], data, named_layout("prompt_completion", data)


def _messages(rows: Sequence[Turns]) -> Counter[str]:
    return Counter(row.system.strip() for row in rows if row.system and row.system.strip())


def _own_messages(rows: Sequence[Turns], wishes: Wishes, notes: Notes) -> list[Guess]:
    """Return what is done about rows whose system message is not the task's instruction; ask where there are many."""
    messages = _messages(rows)
    if not messages:
        return []
    text, count = messages.most_common(1)[0]
    if wishes.instruction is not None and set(messages) != {wishes.instruction.strip()}:
        why = "rows bring system messages of their own"
        effect = "They are passed over, as every arm gets task.instruction."
        return [Guess("data.checks", PASSED_OVER, why, effect)]
    if wishes.instruction is None and count < ONE_MESSAGE * messages.total():
        notes.questions.append(
            f"The rows bring {len(messages):,} different system messages, and every arm gets one. What is the model "
            f'told? (--instruction TEXT) The most frequent, in {count:,} rows: "{text[:200]}"'
        )
    return []


def _one_message(rows: Sequence[Turns]) -> Guess | None:
    messages = _messages(rows)
    if not messages:
        return None
    text, count = messages.most_common(1)[0]
    effect = "A row with another system message is refused." if len(messages) > 1 else ""
    return Guess("task.instruction", text, f"the system message of {count:,} rows", effect)


def _one_column(sample: Sample, columns: list[Column], layout: Layout) -> Guess | None:
    column = constant_instruction(columns, [*layout.columns.values()])
    if column is None:
        return None
    return Guess("task.instruction", sample.records[0][column], f"column {column!r} says it in every row")
