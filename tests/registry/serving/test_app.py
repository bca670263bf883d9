"""The server: answers as they were measured, in the form of OpenAI's clients, within its limits."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from tasks.registry.serving import app as server_module
from tasks.registry.serving.app import Limits, Server, serving_app
from tasks.registry.serving.following import Followed
from tasks.registry.serving.serving_version import Name, ServingVersion, fetch_version
from tests.before_registry import INSTRUCTION, MODEL, Made, a_comparison, a_verdict
from tests.random_adapter import sealed_adapter

TOKEN = "s3cret"
pytestmark = pytest.mark.slow


def serving(made: Made, folder: Path, version: str) -> ServingVersion:
    fetched = fetch_version("", Name(MODEL), made.store, folder / version, version)
    return ServingVersion(fetched, places=4, room=400)


@pytest.fixture
def followed(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Followed]:
    """Version 1 of a tiny model behind a name that can be told to look again."""
    monkeypatch.setenv("TUNEWORTHY_STORE", str(made.store.root))
    made.register(a_verdict(0.85))
    found = Followed(lambda: "1", lambda version: serving(made, tmp_path, version), print, 0)
    yield found
    found.close()


@pytest.fixture
def client(followed: Followed) -> Iterator[TestClient]:
    limits = Limits(TOKEN, body_bytes=20_000, requests=3)
    client = TestClient(serving_app(Server({MODEL: followed}, limits)))
    client.headers["Authorization"] = f"Bearer {TOKEN}"
    yield client


def body(text: str, **others: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **others}


def ask(client: TestClient, text: str, **others: Any) -> httpx.Response:
    return client.post("/v1/chat/completions", json=body(text, **others))


def test_an_answer_is_the_versions_own_at_once_and_as_a_stream(client: TestClient, followed: Followed) -> None:
    texts = [f"which states border {name}?" for name in ("texas", "ohio", "iowa")]
    whole = [ask(client, text).json() for text in texts]
    streamed = [events(ask(client, text, stream=True, stream_options={"include_usage": True})) for text in texts]
    followed.close()  # the engine holds the model until then
    assert [one["choices"][0]["message"]["content"] for one in whole] == followed.now.model.predict(texts)
    for one, parts in zip(whole, streamed, strict=True):
        pieces = [part["choices"][0] for part in parts if part["choices"]]
        assert "".join(piece["delta"].get("content", "") for piece in pieces) == one["choices"][0]["message"]["content"]
        assert pieces[-1]["finish_reason"] == one["choices"][0]["finish_reason"]
        assert parts[-1]["usage"] == one["usage"]


def events(response: httpx.Response) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in response.text.splitlines() if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def test_a_conversation_and_the_own_instruction_are_taken_as_the_version_was_measured(
    client: TestClient, followed: Followed
) -> None:
    turns = [("system", INSTRUCTION), ("user", "hi"), ("assistant", "hello"), ("user", "who?")]
    messages = [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in turns]
    found = client.post("/v1/chat/completions", json={"model": MODEL, "messages": messages, "temperature": 0})
    followed.close()
    expected = followed.now.model.predict(["who?"], {"history": ["hi", "hello"]})
    assert [found.json()["choices"][0]["message"]["content"]] == expected


def test_a_stop_ends_the_answer_before_it_and_a_limit_ends_it_after_so_many_tokens(client: TestClient) -> None:
    whole = ask(client, "which states border texas?").json()["choices"][0]["message"]["content"]
    stop = whole[len(whole) // 2 :][:2]
    cut = ask(client, "which states border texas?", stop=[stop]).json()["choices"][0]
    assert cut["message"]["content"] == whole[: whole.find(stop)]
    assert cut["finish_reason"] == "stop"
    parts = events(ask(client, "which states border texas?", stop=[stop], stream=True))
    assert "".join(part["choices"][0]["delta"].get("content", "") for part in parts) == cut["message"]["content"]
    short = ask(client, "which states border texas?", max_tokens=2).json()
    assert short["usage"]["completion_tokens"] == 2
    assert short["choices"][0]["finish_reason"] == "length"


def test_log_probabilities_come_with_each_token(client: TestClient) -> None:
    found = ask(client, "hi", logprobs=True, top_logprobs=2, max_tokens=3).json()["choices"][0]["logprobs"]["content"]
    assert len(found) == 3
    assert all(one["logprob"] == one["top_logprobs"][0]["logprob"] <= 0 for one in found)


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"model": "other"}, 404, f"'other' is not served; these are: {MODEL}"),
        ({"temperature": 0.7}, 400, "temperature: this version was measured with greedy decoding"),
        ({"n": 2}, 400, "n: Input should be 1"),
        ({"tools": [{"type": "function"}]}, 400, "tools: is not supported"),
        ({"messages": []}, 400, "messages: List should have at least 1 item"),
        (
            {"messages": [{"role": "system", "content": "Be rude."}, {"role": "user", "content": "hi"}]},
            400,
            INSTRUCTION,
        ),
        ({"messages": [{"role": "assistant", "content": "hi"}]}, 400, "have to alternate"),
        ({"messages": [{"role": "user", "content": "hi " * 900}]}, 400, "fit"),
        ({"messages": [{"role": "user", "content": "x" * 30_000}]}, 413, "at most 20000 are taken"),
        ({"max_tokens": 0}, 400, "max_tokens: Input should be greater than or equal to 1"),
    ],
)
def test_what_cannot_be_answered_as_measured_is_refused_by_its_field(
    client: TestClient, change: dict[str, Any], status: int, said: str
) -> None:
    found = client.post("/v1/chat/completions", json=body("hi") | change)
    assert (found.status_code, said in found.json()["error"]["message"]) == (status, True), found.text


def test_a_body_that_is_no_json_a_missing_token_and_health(client: TestClient) -> None:
    assert (
        client.post("/v1/chat/completions", content=b"{", headers={"content-type": "application/json"}).status_code
        == 400
    )
    for header in ("", "Bearer", f"Bearer {TOKEN}x", TOKEN):
        answer = client.get("/v1/models", headers={"Authorization": header})
        assert (answer.status_code, answer.json()["error"]["type"]) == (401, "authentication_error")
    assert client.get("/health", headers={"Authorization": ""}).json() == {"status": "ok", "models": {MODEL: "1"}}
    assert client.get("/v1/models").json()["data"][0]["id"] == MODEL


def test_more_requests_than_the_limit_are_told_to_come_back(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, begun, whole = threading.Event(), threading.Semaphore(0), server_module.answered

    async def held(*arguments: Any) -> Any:
        begun.release()
        while not go.is_set():
            await asyncio.sleep(0.01)
        async for answer in whole(*arguments):
            yield answer

    monkeypatch.setattr(server_module, "answered", held)
    with client, ThreadPoolExecutor() as clients:
        waiting = [clients.submit(ask, client, "hi") for _ in range(3)]
        for _ in waiting:
            assert begun.acquire(timeout=30)
        full = ask(client, "hi")
        go.set()
        assert [one.result().status_code for one in waiting] == [200, 200, 200]
    assert (full.status_code, full.headers["retry-after"]) == (429, "1")


def test_what_is_counted_is_sizes_and_never_what_was_asked(client: TestClient) -> None:
    ask(client, "zebra secret")
    told = client.get("/metrics").text
    assert f'tuneworthy_requests_total{{model="{MODEL}",status="200"}} 1.0' in told
    assert f'tuneworthy_prompt_tokens_count{{model="{MODEL}"}} 1.0' in told
    assert "zebra" not in told


def test_the_next_version_takes_over_while_requests_are_under_way(
    made: Made, followed: Followed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = sealed_adapter(made.store, made.base, tmp_path / "other", seed=2)
    made.register(a_verdict(0.9), other, comparison=a_comparison("better"))
    client = TestClient(serving_app(Server({MODEL: followed}, Limits(requests=100))))
    monkeypatch.setattr(followed, "_find", lambda: "2")
    with client, ThreadPoolExecutor(4) as clients:
        asked = [clients.submit(ask, client, f"which states border state {place}?") for place in range(12)]
        followed.look()
        asked += [clients.submit(ask, client, f"which states border state {place}?") for place in range(4)]
        found = [one.result().json() for one in asked]
    assert {one["choices"][0]["finish_reason"] for one in found} <= {"stop", "length"}
    assert {one["system_fingerprint"] for one in found[-4:]} == {"version-2"}


def test_a_version_that_cannot_be_loaded_leaves_the_one_that_answers(
    made: Made, followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followed, "_find", lambda: "9")
    with pytest.raises(Exception, match="9"):
        followed.look()
    assert followed.now.version == "1"
