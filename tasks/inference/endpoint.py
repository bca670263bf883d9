"""Answers of a model behind an OpenAI-compatible server, kept on disk as they come: what was answered is not asked
again, whatever becomes of the run.

The openai client tries again by itself after a fault of the network, 408, 409, 429 and 5xx, as the server's Retry-After
says or after growing pauses; every try keeps to `requests_per_minute` and is counted by its status.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING, Any

import openai
from openai.types.chat import ChatCompletion

from schemas.errors import EndpointFailed
from tasks.reuse.keys import digest_of
from tasks.reuse.planning import current_secrets

if TYPE_CHECKING:
    import httpx2

    from schemas.sections.endpoints import EndpointConfig
    from tasks.inference.prompts.rendering import Messages
    from tasks.reuse.progress import Reporter
    from tasks.reuse.store import ArtifactStore

RETRIES = 7  # after the first try: about half a minute
AT_ONCE = 8
OK = 200
SHOWN = 300  # characters of what a server says
# What a server may add to the name that it was asked for: a date, a revision.
VERSION = re.compile(r"[-@:](\d{4}-?\d{2}-?\d{2}|\d{3,4}|main|latest|[0-9a-f]{7,40})")


@dataclass(frozen=True)
class Reply:
    """One answer. `finish` is why it ended, as the server says it; `tokens` read and written, None where it does not
    say; `seconds` from request to answer.
    """

    text: str
    finish: str
    is_refusal: bool
    tokens: tuple[int, int] | None
    seconds: float


class Endpoint:
    """A model that is asked for many answers at once.

    Args:
        name: in `arms.endpoints`.
        settings: its section.
        max_new_tokens: tokens that an answer may have.
        store: whose folder `answered` keeps the answers.
        reporter: receives the progress.
    """

    def __init__(
        self, name: str, settings: EndpointConfig, max_new_tokens: int, store: ArtifactStore, reporter: Reporter
    ) -> None:
        self.name, self.settings, self.reporter = name, settings, reporter
        self.usual = {"model": settings.model, "temperature": 0, "max_tokens": max_new_tokens}
        kind = digest_of([settings.url, settings.model])[:16]
        self.path = store.folder("answered", kind) / "answers.jsonl"
        self.faults: Counter[str] = Counter()
        self._key = current_secrets.get()[settings.key] if settings.key else None
        self._lock, self._due = threading.Lock(), 0.0

    def ask(self, conversations: Sequence[Messages], sample: int = 0) -> list[Reply]:
        """Return an answer to each conversation; `sample` numbers answers to the same ones, the first being 0.

        Raises:
            EndpointFailed: one could not be had; those that came are kept.
        """
        bodies = [self._body(messages, sample) for messages in conversations]
        digests = [digest_of([body, sample]) for body in bodies]
        kept = self._kept()
        missing = {digest: body for digest, body in zip(digests, bodies, strict=True) if digest not in kept}
        if missing:
            self.reporter.say(
                f"{self.name}: {len(missing)} requests to {self.settings.url}, model {self.settings.model}"
                + (f"; {len(bodies) - len(missing)} were answered before" if len(missing) < len(bodies) else "")
            )
            kept |= self._answered(missing)
        return [kept[digest] for digest in digests]

    def _body(self, messages: Messages, sample: int) -> dict[str, Any]:
        system, *turns = messages
        tools = system.get("tools") or None  # the API has a place of its own for them
        asked = {"messages": [{name: system[name] for name in ("role", "content")}, *turns], "tools": tools}
        whole = self.usual | ({"temperature": 1} if sample else {}) | self.settings.parameters | asked
        return {name: value for name, value in whole.items() if value is not None}

    def _kept(self) -> dict[str, Reply]:
        """Return what was answered before; a line that a killed run left half written is none."""
        kept = dict[str, Reply]()
        for line in self.path.read_bytes().splitlines() if self.path.exists() else ():
            try:
                found = json.loads(line)
                digest, tokens = found.pop("digest"), found.pop("tokens")
                kept[digest] = Reply(**found, tokens=tuple(tokens) if tokens else None)
            except (ValueError, KeyError, TypeError):
                continue
        return kept

    def _answered(self, missing: dict[str, dict[str, Any]]) -> dict[str, Reply]:
        """Return the answers; each is on disk as soon as it has come, also where another one cannot be had."""
        hooks: dict[str, list[Callable[..., None]]] = {"request": [self._before_try], "response": [self._after_try]}
        with (
            openai.DefaultHttpxClient(event_hooks=hooks, timeout=self.settings.seconds) as http,
            self.path.open("ab", buffering=0) as stream,
            ThreadPoolExecutor(AT_ONCE) as threads,
        ):
            stream.write(b"\n")  # a run that was killed may have left half a line
            client = openai.OpenAI(
                base_url=self.settings.url, api_key=self._key or "none", max_retries=RETRIES, http_client=http
            )
            asked = [threads.submit(self._fetched, client, stream, *one) for one in missing.items()]
            try:
                for done, future in enumerate(as_completed(asked), 1):
                    future.result()
                    self.reporter.advance(done, len(missing), f"answers of {self.name}")
            except BaseException as fault:
                threads.shutdown(wait=True, cancel_futures=True)
                if not isinstance(fault, EndpointFailed):
                    raise
                came = sum(not future.cancelled() and future.exception() is None for future in asked)
                raise EndpointFailed(
                    f"{fault} {came} of {len(missing)} answers came and are kept: run again to ask for the others."
                ) from None
        return dict(future.result() for future in asked)

    def _fetched(
        self, client: openai.OpenAI, stream: IO[bytes], digest: str, body: dict[str, Any]
    ) -> tuple[str, Reply]:
        """Return one answer, after it was written: whatever ends the run, it is kept."""
        reply = self._one(client, body)
        with self._lock:
            stream.write(json.dumps({"digest": digest, **asdict(reply)}).encode() + b"\n")
        return digest, reply

    def _one(self, client: openai.OpenAI, body: dict[str, Any]) -> Reply:
        try:
            raw = client.chat.completions.with_raw_response.create(**body)
            answer = raw.parse()
        except openai.APIStatusError as fault:
            raise self._failed(f"answers {fault.status_code}: {_said(fault.response.text)}") from None
        except openai.APIConnectionError as fault:
            what = "does not answer in time" if isinstance(fault, openai.APITimeoutError) else "does not answer"
            raise self._failed(f"{what} ({fault.__cause__ or fault})") from None
        except (openai.APIError, ValueError):
            raise self._failed(f"answers with something else than JSON: {_said(raw.text)}") from None
        if not isinstance(answer, ChatCompletion):
            raise self._failed(
                f"answers with a page and not as an API (does the url end as it should, in /v1?): {_said(raw.text)}"
            )
        if not answer.choices or answer.choices[0].message is None:
            raise self._failed(f"answers without a choice: {_said(raw.text)}")
        if not is_same_model(self.settings.model, answer.model):
            raise self._failed(
                f"was asked for the model {self.settings.model} and answers as {answer.model}; set `model` to "
                "the one that is meant"
            )
        first, used = answer.choices[0], answer.usage
        return Reply(
            text="\n".join(
                [*filter(None, [first.message.content]), *map(_call_in_words, first.message.tool_calls or ())]
            ),
            finish=first.finish_reason,
            is_refusal=first.finish_reason == "content_filter" or bool(first.message.refusal),
            tokens=(used.prompt_tokens, used.completion_tokens) if used else None,
            seconds=raw.elapsed.total_seconds(),
        )

    def _failed(self, how: str) -> EndpointFailed:
        text = f"{self.settings.url} {how}"
        return EndpointFailed(f"Endpoint {self.name}: {text.replace(self._key, '***') if self._key else text}.")

    def _before_try(self, request: object) -> None:
        """Wait for this request's turn, and count it until it is answered."""
        with self._lock:
            self.faults["no answer"] += 1
            due = self._due = max(time.monotonic(), self._due)
            self._due += 60 / self.settings.requests_per_minute if self.settings.requests_per_minute else 0
        time.sleep(max(0.0, due - time.monotonic()))

    def _after_try(self, response: httpx2.Response) -> None:
        with self._lock:
            self.faults["no answer"] -= 1
            if response.status_code != OK:
                self.faults[str(response.status_code)] += 1


def _call_in_words(call: Any) -> str:
    """Return a call of a tool as rows have it; one that is no function keeps the server's form, and scores as such."""
    function = getattr(call, "function", None)
    if function is None:
        return str(call.model_dump_json())
    return f'{{"name": {json.dumps(function.name)}, "arguments": {function.arguments}}}'


def is_same_model(asked: str, answers: str | None) -> bool:
    """Tell whether a server answers as the model that it was asked for; it may add a version, or say nothing."""
    if not answers or answers == asked:
        return True
    return answers.startswith(asked) and VERSION.fullmatch(answers.removeprefix(asked)) is not None


def _said(text: str) -> str:
    """Return the beginning of what a server says, in one line."""
    line = " ".join(text.split())
    return (line[:SHOWN] + ("…" if len(line) > SHOWN else "")) or "nothing"
