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
from tasks.data.reading.layouts import COLUMNS, Turns, columns_of, converter, detected

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
    """

    guesses: list[Guess]
    rows: list[Turns]
    unread: Counter[str]
    instruction: Guess | None

    @property
    def columns(self) -> set[str]:
        """The columns that are read as request or answer."""
        layout = next(guess.value for guess in self.guesses if guess.setting == "data.layout")
        if layout != "prompt_completion":
            return {*COLUMNS[layout], "input", "system"}
        named = {str(guess.value) for guess in self.guesses if guess.setting in ("data.prompt", "data.completion")}
        return named or {"prompt", "completion"}


def read_rows(sample: Sample, columns: list[Column], wishes: Wishes, notes: Notes) -> Reading | None:
    """Return how the rows are read, or None with a question."""
    found = _layout(sample, columns, wishes, notes)
    if found is None:
        return None
    guesses, data = found
    convert = converter(data.layout, data)
    read = [convert(record) for record in sample.records]
    rows = [row for row in read if _is_whole(row)]
    unread = Counter(row.detail if isinstance(row, Breach) else "has no answer" for row in read if not _is_whole(row))
    if 2 * len(rows) < len(read):
        told = "; ".join(f"{count:,} rows: {detail}" for detail, count in unread.most_common(3))
        notes.questions.append(
            f"The rows look like the layout {data.layout}, but most cannot be read: {told}. {WAY_OUT}"
        )
        return None
    guesses += _own_messages(rows, wishes, notes)
    return Reading(guesses, rows, unread, _one_message(rows) or _one_column(sample, columns, data))


def _is_whole(row: Turns | Breach) -> TypeGuard[Turns]:
    return isinstance(row, Turns) and bool((row.completion or "").strip())


def _layout(
    sample: Sample, columns: list[Column], wishes: Wishes, notes: Notes
) -> tuple[list[Guess], DataConfig] | None:
    is_named = wishes.prompt is not None or wishes.completion is not None
    layout = "prompt_completion" if is_named else detected(sample.records, DataConfig(source="rows"))
    needed = list(columns_of(layout, DataConfig(source="rows")).values())
    if layout == "alpaca" and _has_one_instruction(columns):
        return _two_columns(
            Guess("data.prompt", "input", "the instruction is the same in every row, so it is the task's", PROMPT),
            Guess("data.completion", "output", "by its name", COMPLETION),
        )
    if not is_named and set(needed) <= {column.name for column in columns}:
        guess = Guess("data.layout", layout, f"by its columns {quoted(needed)}", TWO_COLUMNS.effect)
        return [guess], DataConfig(source="rows", layout=layout)
    talks = [column.name for column in columns if column.kind == "conversation"]
    if talks and not is_named:
        notes.questions.append(
            f"{quoted(talks)} holds conversations; they are read from a column named messages (role, content) or "
            "conversations (from, value). Rename it and run init again."
        )
        return None
    roles = find_roles(columns, wishes, notes)
    return None if roles is None else _two_columns(roles.prompt, roles.completion)


def _has_one_instruction(columns: list[Column]) -> bool:
    found = {column.name: column for column in columns}
    return "input" in found and found["input"].filled > ONE_MESSAGE and found["instruction"].distinct == 1


def _two_columns(prompt: Guess, completion: Guess) -> tuple[list[Guess], DataConfig]:
    data = DataConfig(source="rows", layout="prompt_completion", prompt=prompt.value, completion=completion.value)
    return [TWO_COLUMNS, prompt, completion], data


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


def _one_column(sample: Sample, columns: list[Column], data: DataConfig) -> Guess | None:
    column = constant_instruction(columns, [data.prompt, data.completion])
    if column is None:
        return None
    return Guess("task.instruction", sample.records[0][column], f"column {column!r} says it in every row")
