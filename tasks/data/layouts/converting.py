"""From a record to a row: every column is read, passed over by name, or the reason why the row is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tasks.answers.contract import Breach
from tasks.data.layouts.calls import read_calls, tools_of
from tasks.data.layouts.conversations import Turn, Turns, conversed, refuse_weight, reply, turns_in, weight_of
from tasks.data.layouts.known_names import (
    CALLS,
    CHOICES,
    CHOSEN,
    CONTEXTS,
    LOSS_OF,
    REJECTED,
    SYSTEMS,
    TOOLS,
    TRACES,
    WEIGHTS,
    is_filled,
    plain,
)
from tasks.data.layouts.layouts import Layout, layout_of
from tasks.data.layouts.values import Unread, lost, parsed, text_of, traced
from tasks.inference.prompts.tool_calls import calling

if TYPE_CHECKING:
    from schemas.sections.data import DataConfig

MANY = 10_000  # sets of columns that are remembered
IGNORED, UNREAD, LOST = "left out by data.ignore", "not read", "refused: "


class Converter:
    """Converts records of one layout, or says why it cannot."""

    def __init__(self, layout: Layout, data: DataConfig) -> None:
        self.layout, self.data = layout, data
        named = {part: getattr(data, part) for part in ("input", "system", "history")}
        self.parts = layout.columns | {part: column for part, column in named.items() if column}
        self.is_chat, self.needed = "messages" in self.parts, tuple(layout.columns.values())
        # An alpaca row and a question are incomplete without their input; columns that the config names, and prompts,
        # may hold it already.
        self.takes_context = not self.is_chat and not data.prompt and self.parts["prompt"] != "prompt"
        self._uses: dict[tuple[str, ...], dict[str, str]] = {}

    @property
    def settings(self) -> dict[str, str]:
        """Setting or part -> column, for every column that the rows cannot do without."""
        named = {f"data.{part}": getattr(self.data, part) for part in ("input", "system", "history")}
        return self.layout.settings | {setting: column for setting, column in named.items() if column}

    def __call__(self, record: Mapping[str, Any]) -> Turns | Breach:
        """Return a record's turns, or why it has none."""
        try:
            return self._read(record, self.uses(record))
        except Unread as fault:
            return fault.breach

    def uses(self, record: Mapping[str, Any]) -> dict[str, str]:
        """Return column -> its use: a part of the row (or weight, label, choices), IGNORED, UNREAD, LOST and why."""
        names = tuple(record)
        if names not in self._uses:
            if len(self._uses) > MANY:
                self._uses.clear()
            self._uses[names] = self._use(names)
        return self._uses[names]

    def _use(self, names: tuple[str, ...]) -> dict[str, str]:
        parts = {column: part for part, column in self.parts.items()}
        taken, uses = set(self.parts), dict[str, str]()
        for name in names:
            use = IGNORED if name in self.data.ignore else parts.get(name) or self._known(plain(name), taken)
            taken.add(use)
            uses[name] = use
        return uses

    def _known(self, name: str, taken: set[str]) -> str:
        """Return what becomes of a column that is no part by its exact name."""
        if name in SYSTEMS and "system" not in taken:
            return "system"
        if name == "history" and not {"history", "messages"} & taken:
            return "history"
        if name in CONTEXTS and self.takes_context and "input" not in taken:
            return "input"
        if name in WEIGHTS and name != "loss":
            return "weight"
        if name in ("label", "ktotag"):
            return "label"
        if name in CHOSEN | REJECTED:
            return "chosen" if name in CHOSEN else "rejected"
        if name in TOOLS:
            return "tools"
        if name in TRACES:
            return "trace"
        if name in CALLS and not self.is_chat:
            return "calls"
        if name in CHOICES and not self.is_chat:
            return "choices"
        return f"{LOST}{LOSS_OF[name]}" if name in LOSS_OF else UNREAD

    def _read(self, record: Mapping[str, Any], uses: Mapping[str, str]) -> Turns:
        values = dict[str, Any]()
        for name, use in uses.items():
            value = values[use] = record[name]
            if use[0] == LOST[0] and use.startswith(LOST) and is_filled(value):
                raise lost(name, use.removeprefix(LOST))
        self._refuse_missing(record)
        if is_filled(values.get("chosen")) and not (self.is_chat and is_filled(values.get("rejected"))):
            raise Unread("preference", "a chosen answer stands beside another one, or without a rejected one")
        weight = weight_of(values.get("weight"))
        refuse_weight(weight)
        turns = self._turns(values)
        turns = replace(
            turns,
            weight=weight * turns.weight,
            rejected=self._rejected(values.get("rejected"), turns),
            is_wanted=str(values.get("label")).lower() != "false",
        )
        given = self._given(values["input"]) if "input" in values else None
        tools, answer = tools_of(values.get("tools")), traced(turns.completion, values.get("trace"))
        turns = replace(turns, tools=tools or turns.tools, completion=answer)
        return self._told(turns, text_of(values.get("system")), given)

    def _refuse_missing(self, record: Mapping[str, Any]) -> None:
        missing = [column for column in self.needed if column not in record]
        if not missing:
            return
        other = layout_of(record, self.data)
        looks = ""
        if other is not None and other != self.layout and set(other.columns.values()) <= record.keys():
            looks = f"; it looks like {other.in_words}, but the file is {self.layout.in_words}"
        raise Unread("missing_field", f"has no {missing[0]!r}{looks}")

    def _turns(self, values: Mapping[str, Any]) -> Turns:
        roles, ignored = self.data.roles, self.data.ignore
        before = turns_in(values["history"], roles, ignored) if is_filled(values.get("history")) else []
        if self.is_chat:
            said = turns_in(values["messages"], roles, ignored)
            if is_filled(values.get("chosen")):
                said = said[:-1] if said[-1].role == "assistant" else said
                said = [*said, Turn("assistant", reply(values["chosen"], roles, ignored)[0])]
            return conversed([*before, *said])
        asked, answered = values["prompt"], values["completion"]
        if isinstance(asked, str) and plain(self.parts["completion"]) in CHOSEN:
            answered, earlier = reply(answered, roles, ignored)
            if earlier:
                return conversed([*before, *earlier, Turn("assistant", answered)])
        called = self._called(answered, values)
        if isinstance(asked, list) and asked and all(isinstance(message, dict) for message in asked):
            answer = answered if isinstance(answered, list) else [answered]
            answer = [
                {"role": "assistant", "content": said} if isinstance(said, str | None) else said for said in answer
            ]
            return conversed([*before, *turns_in([*asked, *answer], roles, ignored)])
        if asked is not None and not isinstance(asked, str):
            raise Unread("not_text", f"{self.parts['prompt']!r} is a {type(asked).__name__}, not text")
        answers = [called] if called else self._answers(answered, values)
        first = answers[0] if answers else None
        turns = conversed([*before, Turn("user", asked), Turn("assistant", first)]) if before else Turns(asked, first)
        turns = replace(turns, tools="[]") if called else turns
        return replace(turns, also=tuple(filter(None, answers[1:]))) if len(answers) > 1 else turns

    def _rejected(self, value: object, turns: Turns) -> str | None:
        """Return the answer that the row's own is preferred to."""
        if not is_filled(value):
            return None
        text, earlier = reply(value, self.data.roles, self.data.ignore)
        asked = [turn.text for turn in earlier if turn.role != "system"]
        if asked and asked != [*turns.history, turns.prompt]:
            raise Unread("preference", "the rejected answer is to another request than the chosen one")
        if text == turns.completion:
            raise Unread("preference", "the chosen and the rejected answer are the same")
        return text

    def _called(self, answered: Any, values: Mapping[str, Any]) -> str | None:
        """Return the answer where it calls tools: in a column of calls, or as JSON beside a column of tools."""
        if is_filled(values.get("calls")):
            return calling(read_calls(values["calls"]), answered if isinstance(answered, str) else None)
        if plain(self.parts["completion"]) in CALLS and is_filled(answered):
            return calling(read_calls(answered))
        try:
            return calling(read_calls(answered)) if is_filled(values.get("tools")) else None
        except Unread:
            return None

    def _given(self, value: Any) -> str | None:
        """Return the input of a request: a text, or passages one below the other."""
        texts = value if isinstance(value, list) else [value]
        if not all(isinstance(text, str | None) for text in texts):
            raise Unread("not_text", f"{self.parts.get('input', 'the input')!r} is a {type(value).__name__}, not text")
        return "\n\n".join(text for text in texts if text and text.strip()) or None

    def _told(self, turns: Turns, system: str | None, given: str | None) -> Turns:
        """Return the turns with the system text of a column, and with the input below the request."""
        if given is not None:
            # An empty request is not joined with the input, so that it is found to be empty.
            prompt = f"{turns.prompt}\n\n{given}" if (turns.prompt or "").strip() else turns.prompt
            turns = replace(turns, prompt=prompt, given=given)
        if system and system.strip():
            every = [system, *filter(None, [turns.system])]
            turns = replace(turns, system="\n\n".join(dict.fromkeys(every)))
        if turns.system and self.data.system_in_request:
            first, *later = (*turns.history, turns.prompt)
            *history, prompt = (f"{turns.system}\n\n{first or ''}", *later)
            turns = replace(turns, prompt=prompt, history=tuple(history), system=None)
        return turns

    def _answers(self, value: Any, values: Mapping[str, Any]) -> list[str | None]:
        """Return the right answers as text, the one to be learned first: a number, or a name of a class or choice."""
        value = _chosen(value, parsed(values.get("choices")))
        if self.data.labels and (isinstance(value, int | float) or (isinstance(value, str) and value.isdecimal())):
            return [self._label(value)]
        if isinstance(value, bool):
            return [str(value).lower()]
        if isinstance(value, int | float):
            return [] if value != value else [f"{value:.17g}" if isinstance(value, float) else str(value)]
        if value is None or isinstance(value, str):
            return [value]
        answers = _answers(value, "target" in plain(self.parts["completion"]))
        if answers is None:
            raise Unread("not_text", f"{self.parts['completion']!r} is a {type(value).__name__}, not text")
        return [*answers]

    def _label(self, number: Any) -> str:
        place, labels = float(number), self.data.labels or ()
        if not place.is_integer() or not 0 <= place < len(labels):
            raise Unread("not_text", f"class {number} is none of the {len(labels)} that data.labels names, from 0")
        return labels[int(place)]


def _chosen(value: Any, choices: object) -> Any:
    """Return the text of the choice that an answer names by its place or its letter; the answer itself without one."""
    texts, letters = choices, None
    if isinstance(choices, dict):  # {"text": ["...", "..."], "label": ["A", "B"]}
        texts, letters = choices.get("text"), choices.get("label")
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        return value
    if isinstance(letters, list) and value in letters[: len(texts)]:
        return texts[letters.index(value)]
    if isinstance(value, str) and value not in texts:
        place = int(value) if value.isdecimal() else "ABCDEFGHIJ".find(value) if len(value) == 1 else -1
        return texts[place] if 0 <= place < len(texts) else value
    is_place = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(texts)
    return texts[value] if is_place else value


def _answers(value: object, may_be_marked: bool = False) -> list[str] | None:
    """Return the different answers of a list, SQuAD's {"text": [...]}, or answer -> 1 or 0; None if it holds none."""
    if isinstance(value, dict):
        if isinstance(value.get("text"), list | str):
            return _answers(value["text"])
        if may_be_marked and value and all(mark in (0, 1) for mark in value.values()):
            return [str(answer) for answer, mark in value.items() if mark]
        return None
    if isinstance(value, str):
        return [value] if value.strip() else []
    if not isinstance(value, list):
        return None
    found = [_answers(inner) for inner in value]
    if any(inner is None for inner in found):
        return None
    return list(dict.fromkeys(answer for inner in found for answer in inner or []))
