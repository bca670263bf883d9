"""Conversations as the world writes them: turns under the usual keys and names, read as history, request, answer."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

from tasks.data.layouts.calls import read_calls, result_of
from tasks.data.layouts.known_names import (
    CALLS,
    CONTENT_KEYS,
    LOSS_OF,
    ROLE_KEYS,
    ROLE_OF,
    TRACES,
    WEIGHTS,
    is_filled,
    plain,
)
from tasks.data.layouts.values import Unread, lost, parsed, text_of, traced
from tasks.inference.prompts.tool_calls import calling, resulting

ASKING, ANSWERING = {"human", "user"}, {"assistant", "gpt", "bot", "model", "ai"}  # keys of a turn that are speakers
SHOWN = 6  # roles in a message
MOST_WEIGHT = 100


@dataclass(frozen=True)
class Turns:
    """A request and its answer as a record holds them.

    `given` is the input part of the request, if its instruction has one; `history` are the requests and answers before
    it, in turn; `also` are further answers that are right; `tools` is the JSON list of what may be called.
    `weight` is how much of the answer is to be learned, `rejected` one that it is preferred to, and `is_wanted` whether
    the answer is wanted at all.
    """

    prompt: str | None
    completion: str | None
    given: str | None = None
    system: str | None = None
    history: tuple[str | None, ...] = ()
    also: tuple[str, ...] = ()
    tools: str | None = None
    weight: float = 1
    rejected: str | None = None
    is_wanted: bool = True


@dataclass(frozen=True)
class Turn:
    """One turn of a conversation; `weight` is how much of it is to be learned, 1 where nothing says so."""

    role: str
    text: str | None
    weight: float = 1
    is_call: bool = False


def is_conversation(value: object) -> bool:
    """Return whether a value is a list of turns: objects with a speaker and a text, or with speakers as their keys."""
    value = parsed(value)
    return isinstance(value, list) and bool(value) and all(isinstance(turn, dict) and _speaks(turn) for turn in value)


def _speaks(turn: Mapping[str, Any]) -> bool:
    names = {plain(name) for name in turn}
    if names & ASKING and names & ANSWERING:
        return True
    return bool(names & {"role", "from", "speaker", "author", "sender", "type", "name"}) and bool(
        names & {"content", "value", "text", "parts", "message", "data", "utterance", "toolcalls", "functioncall"}
    )


def turns_in(value: object, roles: Mapping[str, str], ignored: Collection[str] = ()) -> list[Turn]:
    """Return the turns of a conversation.

    Args:
        value: a list of messages, of pairs of texts, or the JSON text of one.
        roles: further speakers' names -> role.
        ignored: keys of a message that are passed over on purpose.

    Raises:
        Unread: it is none, or holds what would be lost.
    """
    messages = parsed(value)
    if not isinstance(messages, list) or not messages:
        raise Unread("wrong_roles", "has no messages")
    known = {plain(name): role for name, role in roles.items()}
    return [turn for message in messages for turn in _turns(message, known, ignored)]


def _turns(message: object, known: Mapping[str, str], ignored: Collection[str]) -> Iterator[Turn]:
    if isinstance(message, list) and len(message) == 2 and all(isinstance(part, str | None) for part in message):
        yield from (Turn("user", message[0]), Turn("assistant", message[1]))
        return
    if not isinstance(message, dict):
        raise Unread("not_text", f"a message is a {type(message).__name__}, not an object with a role and a text")
    keys = {plain(name): name for name in message if name not in ignored}
    called = [name for key, name in keys.items() if key in CALLS and is_filled(message[name])]
    for key, name in keys.items():
        reason = LOSS_OF.get(key)
        is_read = reason == "unread_context" or key in CALLS or key in TRACES
        if reason and is_filled(message[name]) and not is_read:
            raise lost(name, reason)
    trace = next((message[name] for key, name in keys.items() if key in TRACES), None)
    role_key, content_key = read_keys(message, ignored)
    if called and (role_key is None or _role(message[role_key], known) == "assistant"):
        content = text_of(message[content_key]) if content_key in message and content_key not in called else None
        text = traced(calling(read_calls(message[called[0]]), content), trace)
        yield Turn("assistant", text, _weight(message, keys), True)
        return
    if role_key is not None and content_key is not None:
        role, content, weight = _role(message[role_key], known), message[content_key], _weight(message, keys)
        if role == "call":
            yield Turn("assistant", calling(read_calls(content)), weight, True)
        else:
            yield Turn(role, result_of(content) if role == "tool" else traced(text_of(content), trace), weight)
        return
    named = [(known.get(key) or ROLE_OF.get(key), text_of(message[name])) for key, name in keys.items()]
    spoken = [Turn(role, text, _weight(message, keys)) for role, text in named if role]
    if not spoken:
        raise Unread("not_text", f"a message has {', '.join(map(repr, message))}: no role with a text content")
    yield from sorted(spoken, key=lambda turn: ("system", "user", "assistant", "call", "tool").index(turn.role))


def read_keys(message: Mapping[str, Any], ignored: Collection[str] = ()) -> tuple[str | None, str | None]:
    """Return the keys of a message that hold its speaker and its text."""
    return _read_keys(tuple(message), tuple(ignored))


@functools.lru_cache(4096)
def _read_keys(names: tuple[str, ...], ignored: tuple[str, ...]) -> tuple[str | None, str | None]:
    keys = {plain(name): name for name in names if name not in ignored}
    role = next((keys[key] for key in ROLE_KEYS if key in keys), None)
    return role, next((keys[key] for key in CONTENT_KEYS if key in keys and keys[key] != role), None)


def _role(said: object, known: Mapping[str, str]) -> str:
    if isinstance(said, dict):  # {"author": {"role": "user"}}
        said = next((said[name] for name in ("role", "name") if name in said), None)
    name = plain(str(said))
    role = known.get(name) or ROLE_OF.get(name)
    if role is None:
        raise Unread(
            "wrong_roles",
            f"role {str(said)[:40]!r} is not known; known are human, user, gpt, assistant, bot, model, system, "
            "developer and their like: name it in data.roles",
        )
    return role


def _with_results(turns: Sequence[Turn]) -> list[Turn]:
    """Return the turns with the results of a call as one turn in the user's place.

    Raises:
        Unread: results come before a call.
    """
    for before, turn in pairwise([Turn("user", None), *turns]):
        if turn.role == "tool" and before.role != "tool" and not before.is_call:
            raise Unread("wrong_roles", "the result of a tool comes where none was called")
    runs = [(role, list(some)) for role, some in groupby(turns, lambda turn: turn.role)]
    return [
        turn
        for role, some in runs
        for turn in ([Turn("user", resulting([one.text for one in some]))] if role == "tool" else some)
    ]


def _weight(message: Mapping[str, Any], keys: Mapping[str, str]) -> float:
    told = [message[name] for key, name in keys.items() if key in WEIGHTS]
    return min(map(weight_of, told), default=1)


def weight_of(value: object) -> float:
    """Return how much of a row or turn is to be learned, from a number, true or false, or their text; 1 if empty."""
    if isinstance(value, str):
        value = {"true": True, "false": False}.get(value.strip().lower(), value)
    try:
        return float(value) if is_filled(value) else 1  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise Unread("weighted", f"a weight is {value!r}, and not a number, true or false") from None


def refuse_weight(weight: float) -> None:
    """Refuse a row that is not to be learned, or with a weight that is none.

    Raises:
        Unread: its weight is not above 0.
    """
    if weight == 0:
        raise Unread("not_learned", "its weight says that its answer is not to be learned")
    if not 0 < weight <= MOST_WEIGHT:
        raise Unread("weighted", f"its weight is {weight:g}; weights are from 0 (left out) to {MOST_WEIGHT}")


def conversed(turns: list[Turn]) -> Turns:
    """Return the last answer that is to be learned with what was said before it.

    Raises:
        Unread: the roles are out of order, or no answer is to be learned.
    """
    system = [turn.text for turn in turns if turn.role == "system"]
    begun = next((place for place, turn in enumerate(turns) if turn.role != "system"), len(turns))
    spoken = turns[begun:]
    if any(turn.weight != 1 for turn in spoken):
        last = max((place for place, turn in enumerate(spoken) if turn.role == "assistant" and turn.weight), default=-1)
        if last < 0:
            refuse_weight(0)
        spoken = spoken[: last + 1]
        refuse_weight(spoken[-1].weight)
    tools = "[]" if any(turn.is_call or turn.role == "tool" for turn in spoken) else None
    spoken = _with_results(spoken)
    roles = [turn.role for turn in spoken]
    if not roles or roles != ["user", "assistant"] * (len(roles) // 2):
        every = [turn.role for turn in turns]
        shown = ", ".join(every[:SHOWN]) + (f", … {every[-1]}" if len(every) > SHOWN else "")
        raise Unread(
            "wrong_roles", f"roles are {shown}; expected are system (or none), then user and assistant in turn"
        )
    texts = [turn.text for turn in spoken]
    told = "\n\n".join(text for text in system if text and text.strip()) or None
    return Turns(texts[-2], texts[-1], None, told, tuple(texts[:-2]), tools=tools, weight=spoken[-1].weight)


def reply(value: object, roles: Mapping[str, str], ignored: Collection[str]) -> tuple[str | None, list[Turn]]:
    """Return an answer that is written as text, as a message or as the end of a conversation, and the turns before it.

    Raises:
        Unread: it is none of these, or the conversation does not end with an answer.
    """
    value = parsed(value)
    if value is None or isinstance(value, str):
        return value, []
    turns = _with_results(turns_in(value if isinstance(value, list) else [value], roles, ignored))
    if turns[-1].role != "assistant":
        raise Unread("wrong_roles", "a chosen or rejected conversation does not end with an answer")
    return turns[-1].text, turns[:-1]
