"""One answer as it is made: tokens from the engine become text, until a stop, the limit or the client ends it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Any

from tasks.inference.continuous import EngineClosed, Job, Token
from tasks.registry.serving.chat_request import ChatRequest, RequestRefused
from tasks.registry.serving.following import Followed
from tasks.registry.serving.serving_version import ServingVersion

Emit = Callable[[Token | Exception | None], None]
HALF = "\ufffd"  # what a tokenizer gives for a character whose last bytes are still to come


@dataclass
class Answer:
    """What is known of an answer so far; `text` is what may be told, as a stop may have begun at its end."""

    version: ServingVersion
    prompt_tokens: int
    tokens: list[Token] = field(default_factory=list)
    text: str = ""
    reason: str | None = None

    def grow(self, stops: list[str]) -> None:
        """Take the tokens into the text, up to a stop."""
        text = self.version.text([one.id for one in self.tokens])
        cut = min((place for stop in stops if (place := text.find(stop)) >= 0), default=None)
        if cut is not None:
            self.text, self.reason = text[:cut], "stop"
        else:
            self.text = text if self.reason else text[: len(text) - _unsure(text, stops)]

    @property
    def usage(self) -> dict[str, int]:
        """Tokens in and out."""
        made = len(self.tokens)
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": made,
            "total_tokens": self.prompt_tokens + made,
        }


async def answered(followed: Followed, asked: ChatRequest) -> AsyncGenerator[Answer]:
    """Yield the answer whenever it has grown; the last time it has a `reason`. It is one object, which grows.

    Raises:
        RequestRefused: prompt and answer do not fit into the window, or the version was not measured on such a request.
    """
    arrived, loop = asyncio.Queue[Token | Exception | None](), asyncio.get_running_loop()

    def put(token: Token | Exception | None) -> None:
        loop.call_soon_threadsafe(arrived.put_nowait, token)

    version, job = _submitted(followed, asked, put)
    answer = Answer(version, len(job.prompt))
    try:
        while answer.reason is None:
            token = await arrived.get()
            if isinstance(token, Exception):
                raise token
            if token is not None:
                answer.tokens.append(token)
            elif len(answer.tokens) == job.most:
                answer.reason = "length"
            else:
                answer.reason = "stop"
            answer.grow(asked.stops)
            yield answer
    finally:
        job.is_cancelled = True


def _submitted(followed: Followed, asked: ChatRequest, emit: Emit) -> tuple[ServingVersion, Job]:
    """Submit a request to the version of now, or to the next one where that has just been closed."""
    while True:
        version = followed.now
        prompt = version.rendered(asked.conversation(version.facts.instruction))
        room = version.window - len(prompt)
        if room < 1:
            raise RequestRefused(f"messages: take {len(prompt)} tokens; {version.window - 1} fit")
        top = (asked.top_logprobs or 0) if asked.logprobs else None
        job = Job(prompt, min(room, asked.most(version.facts.max_new_tokens)), emit, top)
        with contextlib.suppress(EngineClosed):
            version.engine.submit(job)
            return version, job


def _unsure(text: str, stops: list[str]) -> int:
    """Return how many characters at the end may not be told yet: half a character, or the beginning of a stop."""
    begun = [size for stop in stops for size in range(1, len(stop)) if text.endswith(stop[:size])]
    return max([len(text) - len(text.rstrip(HALF)), *begun])


def logprobs_of(version: ServingVersion, tokens: list[Token]) -> dict[str, Any] | None:
    """Return the log-probabilities of tokens as OpenAI's clients read them; None where they were not asked for."""
    if not tokens or tokens[0].logprob is None:
        return None
    return {
        "content": [
            _entry(version, one.id, one.logprob or 0.0)
            | {"top_logprobs": [_entry(version, token, logprob) for token, logprob in one.top]}
            for one in tokens
        ]
    }


def _entry(version: ServingVersion, token: int, logprob: float) -> dict[str, Any]:
    text = version.tokenizer.decode([token])
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}
