"""Requests that join and leave a running batch get the answers that they would get alone."""

from __future__ import annotations

import queue
import random
import threading
from pathlib import Path

import pytest
import torch

from tasks.inference import continuous
from tasks.inference.batching import common_prefix
from tasks.inference.continuous import Engine, EngineClosed, Job, Token
from tasks.inference.decoding import generate
from tasks.inference.loading import LoadedModel, load_model
from tasks.inference.prompts.rendering import render_prompt, row_messages

ROOM = 200


@pytest.fixture(scope="module")
def tiny(tiny_model: Path) -> LoadedModel:
    return load_model(tiny_model, dtype=torch.float32)


def prompts(tiny: LoadedModel, count: int) -> list[list[int]]:
    chance = random.Random(3)
    texts = [
        " ".join(chance.choices(["state", "river", "which", "city"], k=chance.randint(1, 12))) for _ in range(count)
    ]
    return [render_prompt(tiny.tokenizer, row_messages("Answer with one word.", text)) for text in texts]


class Client:
    """Collects what the engine emits for one request."""

    def __init__(self, prompt: list[int], most: int, top: int | None = None) -> None:
        self.arrived: queue.Queue[Token | Exception | None] = queue.Queue()
        self.job = Job(prompt, most, self.arrived.put, top)

    def tokens(self) -> list[Token]:
        found = []
        while (token := self.arrived.get(timeout=60)) is not None:
            assert isinstance(token, Token), token
            found.append(token)
        return found


@pytest.mark.parametrize("places", [1, 3, 8])
@pytest.mark.parametrize("is_shared", [True, False])
def test_answers_are_those_of_generate_whenever_a_request_joins(
    tiny: LoadedModel, places: int, is_shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = prompts(tiny, 14)
    most = [3 + place % 5 for place in range(len(asked))]
    alone = [generate(tiny, [prompt], limit)[0].ids for prompt, limit in zip(asked, most, strict=True)]
    if not is_shared:
        monkeypatch.setattr(continuous, "why_unsupported", lambda loaded: "a test says so")
    engine = Engine(tiny, asked[0][: common_prefix(asked)], places, ROOM)
    clients = [Client(*pair) for pair in zip(asked, most, strict=True)]
    for client in clients[:6]:
        engine.submit(client.job)
    found = [[token.id for token in clients[0].tokens()]]
    for client in clients[6:]:
        engine.submit(client.job)
    found += [[token.id for token in client.tokens()] for client in clients[1:]]
    engine.close()
    assert found == alone


def test_a_request_that_is_given_up_frees_its_place(tiny: LoadedModel) -> None:
    first, second = prompts(tiny, 2)
    engine = Engine(tiny, [], 1, ROOM)
    given_up, waiting = Client(first, 100), Client(second, 3)
    engine.submit(given_up.job)
    given_up.arrived.get(timeout=60)
    engine.submit(waiting.job)
    given_up.job.is_cancelled = True
    assert len(waiting.tokens()) <= 3
    assert len(given_up.job.made) < 100
    engine.close()


def test_a_listener_that_fails_is_gone_and_the_others_are_answered(tiny: LoadedModel) -> None:
    first, second = prompts(tiny, 2)
    engine, fine = Engine(tiny, [], 2, ROOM), Client(second, 5)
    engine.submit(Job(first, 50, lambda token: {}["the event loop is closed"]))
    engine.submit(fine.job)
    assert [token.id for token in fine.tokens()] == generate_after(engine, tiny, second)


def test_log_probabilities_are_those_of_a_forward_pass(tiny: LoadedModel) -> None:
    (prompt,) = prompts(tiny, 1)
    engine, client = Engine(tiny, prompt[:2], 2, ROOM), Client(prompt, 4, top=3)
    engine.submit(client.job)
    tokens = client.tokens()
    engine.close()
    with torch.inference_mode():
        ids = torch.tensor([[*prompt, *(token.id for token in tokens)]])
        logprobs = torch.log_softmax(tiny.model(ids).logits[0].float(), -1)[len(prompt) - 1 :]
    for row, token in zip(logprobs, tokens, strict=False):
        assert token.logprob == pytest.approx(float(row[token.id]), abs=1e-3)
        assert [score for _, score in token.top] == pytest.approx(row.topk(3).values.tolist(), abs=1e-3)


def test_an_error_reaches_those_at_hand_and_the_next_request_is_answered(
    tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = prompts(tiny, 2)
    engine, failing = Engine(tiny, [], 2, ROOM), Client(one, 5)
    whole = continuous.PrefixReader.step
    monkeypatch.setattr(continuous.PrefixReader, "step", lambda *_: (_ for _ in ()).throw(MemoryError("full")))
    engine.submit(failing.job)
    assert isinstance(failing.arrived.get(timeout=60), MemoryError)
    monkeypatch.setattr(continuous.PrefixReader, "step", whole)
    fine = Client(other, 5)
    engine.submit(fine.job)
    assert [token.id for token in fine.tokens()] == generate_after(engine, tiny, other)


def generate_after(engine: Engine, tiny: LoadedModel, prompt: list[int]) -> list[int]:
    engine.close()  # it holds the model's lock
    return generate(tiny, [prompt], 5)[0].ids


def test_a_closed_engine_takes_nothing_and_what_does_not_fit_is_refused(tiny: LoadedModel) -> None:
    (prompt,) = prompts(tiny, 1)
    engine = Engine(tiny, prompt[:3], 1, ROOM)
    with pytest.raises(ValueError, match="more than 200 tokens"):
        engine.submit(Client(prompt, 500).job)
    with pytest.raises(ValueError, match="does not begin with"):
        engine.submit(Client([1, *prompt], 5).job)
    engine.close()
    assert not any(thread.name == "decoding" and thread is engine.thread for thread in threading.enumerate())
    with pytest.raises(EngineClosed):
        engine.submit(Client(prompt, 2).job)
