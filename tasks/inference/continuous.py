"""Continuous batching: requests join a running batch as soon as a place is free, and leave it when they end.

What all requests begin with is read once, when the engine starts; a request costs its own tokens only. This is the
iteration-level scheduling of Orca (Yu et al., OSDI 2022) on the shared-prefix cache of `tasks.inference.prefix`.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tasks.inference.batching import chunks
from tasks.inference.decoding import by_transformers
from tasks.inference.grammar import Follower, followers
from tasks.inference.loading import LoadedModel
from tasks.inference.prefix import PrefixReader, SharedMemory, reading
from tasks.inference.prefix_support import why_unsupported


@dataclass(frozen=True)
class Token:
    """A decoded token, with its log-probability and the `top` most probable ones, where they were asked for."""

    id: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


@dataclass(eq=False)
class Job:
    """A request under way: `prompt` ids, at most `most` new tokens; `emit` gets every token, then None, or the error
    that ended it. Set `is_cancelled` to let it leave before its end. `top`: log-probabilities wanted, None for none.
    """

    prompt: list[int]
    most: int
    emit: Callable[[Token | Exception | None], None]
    top: int | None = None
    is_cancelled: bool = False
    made: list[int] = field(default_factory=list)
    follower: Follower | None = None

    def tell(self, token: Token | Exception | None) -> None:
        """Emit; a listener that fails is gone, and the others are answered."""
        try:
            self.emit(token)
        except Exception:  # noqa: BLE001 - such as an event loop that was closed
            self.is_cancelled = True


class EngineClosed(Exception):
    """Raised when a request comes after `close`; another engine has taken over."""


class Engine:
    """Decodes greedily, in a thread that holds the model's lock from start to `close`."""

    def __init__(self, loaded: LoadedModel, prefix: Sequence[int], places: int, room: int, grammar: str = "") -> None:
        """Start.

        Args:
            loaded: the model.
            prefix: ids that every prompt begins with.
            places: requests that are decoded at once.
            room: tokens that a prompt, beyond the prefix, and its answer may have together.
            grammar: that every answer follows; empty for none.
        """
        self.loaded, self.prefix, self.places, self.room = loaded, list(prefix), places, room
        self.grammar = grammar
        self.waiting: queue.Queue[Job | None] = queue.Queue()
        self.active: list[Job] = []
        self.is_closed = self._is_closing = False
        self._door = threading.Lock()
        self.thread = threading.Thread(target=self._run, name="decoding", daemon=True)
        self.thread.start()

    def submit(self, job: Job) -> None:
        """Queue a request.

        Raises:
            EngineClosed: the engine takes no more.
            ValueError: it does not begin with the prefix, or does not fit into the room.
        """
        if job.prompt[: len(self.prefix)] != self.prefix or len(job.prompt) == len(self.prefix):
            raise ValueError("the prompt does not begin with what this engine has read")
        if len(job.prompt) - len(self.prefix) + job.most > self.room:
            raise ValueError(f"prompt and answer take more than {self.room} tokens")
        with self._door:
            if self._is_closing:
                raise EngineClosed
            self.waiting.put(job)

    def close(self) -> None:
        """End after the requests that were submitted."""
        with self._door:
            self._is_closing = True
            self.waiting.put(None)
        self.thread.join()

    def _run(self) -> None:
        with self.loaded.lock:
            turn = self._shared if why_unsupported(self.loaded) is None else self._plain
            while not self.is_closed or self.active:
                try:
                    turn()
                except Exception as fault:  # noqa: BLE001 - the requests at hand end with it, the engine goes on
                    for job in self.active:
                        job.tell(fault)
                    self.active.clear()

    def _shared(self) -> None:
        memory = SharedMemory()
        reader = PrefixReader(self.loaded.model, self.loaded.device, memory)
        with reading(self.loaded.model, memory):
            reader.read_prefix(self.prefix)
            memory.open_batch(self.places, self.room, self.loaded.device)
            memory.rows = 0
            while not self.is_closed or self.active:
                self._join(reader)
                if self.active:
                    self._step(reader)

    def _join(self, reader: PrefixReader) -> None:
        """Read the prompts of the requests that join."""
        start, jobs = len(self.active), list(self._next())
        jobs.sort(key=lambda job: -len(job.prompt))
        self.active += jobs
        own = [job.prompt[len(self.prefix) :] for job in jobs]
        for part in chunks([len(ids) for ids in own]):
            reader.read_rows(slice(start + part.start, start + part.stop), own[part])
        reader.memory.rows = len(self.active)

    def _next(self) -> Iterator[Job]:
        """Yield what waits, as far as there are places; wait where nothing else is to be done."""
        free, is_idle = self.places - len(self.active), not self.active
        while free and not self.is_closed:
            try:
                job = self.waiting.get(block=is_idle)
            except queue.Empty:
                return
            if job is None:
                self.is_closed = True
            elif not job.is_cancelled:
                free, is_idle = free - 1, False
                job.follower = followers(self.loaded, self.grammar, 1)[0] if self.grammar else None
                yield job

    def _step(self, reader: PrefixReader) -> None:
        logits = reader.step([(job.made or job.prompt)[-1] for job in self.active]).float()
        tokens = logits.argmax(-1).tolist()
        for place in reversed(range(len(self.active))):  # the last row moves to a place that is freed
            job = self.active[place]
            token = job.follower.choose(tokens[place], logits[place]) if job.follower else tokens[place]
            is_stop = token in self.loaded.stop_ids
            if not is_stop and not job.is_cancelled:
                job.made.append(token)
                job.tell(_told(token, logits[place], job.top))
            if is_stop or job.is_cancelled or len(job.made) == job.most:
                job.tell(None)
                reader.memory.remove(place)
                self.active[place] = self.active[-1]
                self.active.pop()

    def _plain(self) -> None:
        """Answer what waits with transformers' own generate, where the prefix cannot be shared."""
        self.active += self._next()
        jobs = list(self.active)
        if not jobs:
            return

        def finish(row: int, ids: list[int]) -> None:
            for token in ids[: jobs[row].most]:
                if token in self.loaded.stop_ids:
                    break
                jobs[row].tell(Token(token))
            jobs[row].tell(None)
            self.active.remove(jobs[row])

        by_transformers(self.loaded, [job.prompt for job in jobs], max(job.most for job in jobs), finish, self.grammar)


def _told(token: int, logits: Tensor, top: int | None) -> Token:
    if top is None:
        return Token(token)
    scores = torch.log_softmax(logits, -1)
    best = scores.topk(top) if top else None
    listed = tuple(zip(best.indices.tolist(), best.values.tolist(), strict=True)) if best else ()
    return Token(token, float(scores[token]), listed)
