"""Conversations as the world writes them: a list of turns under any of the usual keys and speakers' names, read as
history, request and answer.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from tasks.answers.contract import Breach
from tasks.data.layouts.known_names import CONTENT_KEYS, LOSS_OF, ROLE_KEYS, ROLE_OF, WEIGHTS, is_filled, plain

ASKING, ANSWERING = {"human", "user"}, {"assistant", "gpt", "bot", "model", "ai"}  # keys of a turn that are speakers
SHOWN = 6  # roles in a message
LOSS = {
    "tools": "tool calls are not learned yet",
    "preference": "preference rows are not learned yet, and a rejected answer never is",
    "reasoning_content": "reasoning beside an answer is not learned yet",
    "media": "images, sound and films are not read",
    "unread_context": "it belongs to the request and would be lost",
}


@dataclass(frozen=True)
class Turns:
    """A request and its answer as a record holds them.

    `given` is the input part of the request, if its instruction has one; `history` are the requests and answers before
    it, in turn; `also` are further answers that are right.
    """

    prompt: str | None
    completion: str | None
    given: str | None = None
    system: str | None = None
    history: tuple[str | None, ...] = ()
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Turn:
    """One turn of a conversation; `weight` is how much of it is to be learned, 1 where nothing says so."""

    role: str
    text: str | None
    weight: float = 1


class Unread(Exception):
    """A record that cannot be read, with its reason."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.breach = Breach(reason, detail)


def lost(name: str, reason: str) -> Unread:
    """Return why a column or key whose meaning is known cannot be passed over."""
    return Unread(reason, f"{name!r} is filled: {LOSS[reason]}")


def parsed(value: object) -> object:
    """Return the list or object that a text encodes: CSV files and databases hold conversations as JSON text."""
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return value


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


def text_of(value: object) -> str | None:
    """Return the text of a content: text, or parts of which each is text.

    Raises:
        Unread: a part is no text, such as an image or a tool call.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, dict):
        return _part(value)
    if isinstance(value, list):
        parts = [part for part in map(text_of, value) if part]
        return "\n".join(parts)
    raise Unread("not_text", f"a content is a {type(value).__name__}, not text")


def _part(part: dict[str, Any]) -> str | None:
    names = {plain(name): value for name, value in part.items() if is_filled(value)}
    kind = plain(str(names.get("type", names.get("contenttype", "text"))))
    for name in (kind, *names):
        reason = "media" if name.startswith(("image", "video", "audio", "inputimage")) else LOSS_OF.get(name)
        reason = "tools" if name.startswith(("tool", "function")) else reason
        if reason and reason != "unread_context":
            raise lost(name, reason)
    known = [name for name in CONTENT_KEYS if name in names]
    if not known and names.keys() - {"type"}:
        raise Unread("not_text", f"a part of a content has {', '.join(map(repr, part))}, and no text")
    return text_of(names[known[0]]) if known else None


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
    for key, name in keys.items():
        if (reason := LOSS_OF.get(key)) and reason != "unread_context" and is_filled(message[name]):
            raise lost(name, reason)
    role_key, content_key = read_keys(message, ignored)
    if role_key is not None and content_key is not None:
        yield Turn(_role(message[role_key], known), text_of(message[content_key]), _weight(message, keys))
        return
    named = [(known.get(key) or ROLE_OF.get(key), text_of(message[name])) for key, name in keys.items()]
    spoken = [Turn(role, text, _weight(message, keys)) for role, text in named if role]
    if not spoken:
        raise Unread("not_text", f"a message has {', '.join(map(repr, message))}: no role with a text content")
    yield from sorted(spoken, key=lambda turn: ("system", "user", "assistant").index(turn.role))


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
    if role == "tool":
        raise Unread("tools", f"has a turn of {said!r}: {LOSS['tools']}")
    return role


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
    """Refuse a row that is not to be learned, or only in part.

    Raises:
        Unread: its weight is not 1.
    """
    if weight == 0:
        raise Unread("not_learned", "its weight says that its answer is not to be learned")
    if weight != 1:
        raise Unread("weighted", f"its weight is {weight:g}; only 0 (left out) and 1 (learned) are known")


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
    roles = [turn.role for turn in spoken]
    if not roles or roles != ["user", "assistant"] * (len(roles) // 2):
        every = [turn.role for turn in turns]
        shown = ", ".join(every[:SHOWN]) + (f", … {every[-1]}" if len(every) > SHOWN else "")
        raise Unread(
            "wrong_roles", f"roles are {shown}; expected are system (or none), then user and assistant in turn"
        )
    texts = [turn.text for turn in spoken]
    told = "\n\n".join(text for text in system if text and text.strip()) or None
    return Turns(texts[-2], texts[-1], None, told, tuple(texts[:-2]))
