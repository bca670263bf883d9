"""Endpoints: every answer is kept once, and what a server does wrong is said in words."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from starlette.responses import HTMLResponse, JSONResponse, Response

from schemas.errors import EndpointFailed
from schemas.sections.endpoints import EndpointConfig
from tasks.inference import endpoint as module
from tasks.inference.endpoint import Endpoint, is_same_model
from tasks.inference.prompts.rendering import row_messages
from tasks.reuse.planning import current_secrets
from tasks.reuse.progress import Reporter
from tasks.reuse.store import ArtifactStore
from tests.endpoints import completion, free_port, good, serving

KEY = "sk-a-key-nobody-may-see"


@pytest.fixture(autouse=True)
def _one_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRIES", 1)
    current_secrets.set({"env:KEY": KEY})


def asked(store: ArtifactStore, url: str, count: int = 3, **settings: Any) -> tuple[list[module.Reply], Endpoint]:
    config = EndpointConfig.model_validate({"url": url, "model": "big", "key": "env:KEY", **settings})
    one = Endpoint("incumbent", config, 8, store, Reporter())
    return one.ask([[{"role": "user", "content": f"number {place}"}] for place in range(count)]), one


def half_a_body(body: dict[str, Any]) -> Response:
    return Response(b'{"choices": [', headers={"content-length": "900"}, media_type="application/json")


def slow(body: dict[str, Any]) -> Response:
    time.sleep(0.6)
    return good(body)


def echoing(body: dict[str, Any]) -> Response:
    return JSONResponse({"error": f"the key {KEY} is wrong"}, 401)


FAULTS: dict[str, tuple[Callable[[dict[str, Any]], Response], str]] = {
    "401": (echoing, r'answers 401: {"error":"the key \*\*\* is wrong"}'),
    "429": (lambda _: JSONResponse({"error": "slow down"}, 429, {"retry-after": "0.01"}), "answers 429: .*slow down"),
    "500": (lambda _: Response("oh no", 500), "answers 500: oh no"),
    "window": (lambda _: JSONResponse({"error": "maximum context length is 8"}, 400), "400: .*maximum context length"),
    "no choice": (lambda body: JSONResponse(completion(body, choices=[])), "answers without a choice"),
    "half a stream": (half_a_body, "does not answer"),
    "another model": (
        lambda body: JSONResponse(completion(body, model="small")),
        "for the model big and answers as sm",
    ),
    "page": (lambda _: HTMLResponse("<html>Welcome</html>"), r"in /v1\?\): <html>Welcome"),
    "no JSON": (lambda _: Response("{", media_type="application/json"), "something else than JSON: {"),
    "slow": (slow, "does not answer in time"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_server_does_wrong_is_said_without_the_key(fault: str, store: ArtifactStore) -> None:
    answer, says = FAULTS[fault]
    with serving(answer) as url, pytest.raises(EndpointFailed, match=says) as refusal:
        asked(store, url, seconds=0.2 if fault == "slow" else 60)
    assert "Endpoint incumbent: http://127.0.0.1" in str(refusal.value) and KEY not in str(refusal.value)
    assert "0 of 3 answers came and are kept" in str(refusal.value)


def test_a_server_that_is_down_is_said(store: ArtifactStore) -> None:
    with pytest.raises(EndpointFailed, match=r"does not answer \(.*refused"):
        asked(store, f"http://127.0.0.1:{free_port()}/v1")


def test_what_was_answered_is_kept_when_another_answer_fails_and_only_that_is_asked_again(store: ArtifactStore) -> None:
    came, broken = list[str](), ["number 2"]

    def one_fails(body: dict[str, Any]) -> Response:
        came.append(body["messages"][0]["content"])
        return Response("broken", 400) if came[-1] in broken else good(body)

    with serving(one_fails) as url:
        with pytest.raises(EndpointFailed, match=r"400: broken\. 2 of 3 answers came and are kept"):
            asked(store, url)
        broken.clear()
        came.clear()
        replies, _ = asked(store, url)
    assert came == ["number 2"]
    assert [reply.text for reply in replies] == ["red"] * 3


def test_half_a_line_of_a_run_that_was_killed_is_asked_again(store: ArtifactStore) -> None:
    with serving(good) as url:
        asked(store, url)
        (path,) = (store.root / "answered").rglob("*.jsonl")
        whole = path.read_bytes()
        path.write_bytes(whole[:-20])
        asked(store, url)
        assert path.read_bytes().count(b'"digest"') == 4
    assert KEY.encode() not in path.read_bytes()
    assert asked(store, url)[0][0].tokens == (10, 2)  # the server is gone


def test_tries_that_are_made_again_are_counted_by_their_status(store: ArtifactStore) -> None:
    statuses = iter([429, 500])

    def failing_at_first(body: dict[str, Any]) -> Response:
        status = next(statuses, 200)
        return good(body) if status == 200 else Response("", status, {"retry-after": "0.01"})

    with serving(failing_at_first) as url:
        _, one = asked(store, url)
    assert one.faults == {"429": 1, "500": 1, "no answer": 0}


def test_no_more_requests_are_sent_in_a_minute_than_are_allowed(store: ArtifactStore) -> None:
    moments = list[float]()

    def noting(body: dict[str, Any]) -> Response:
        moments.append(time.monotonic())
        return good(body)

    with serving(noting) as url:
        asked(store, url, count=4, requests_per_minute=300)
    assert moments[-1] - moments[0] > 0.5


def test_parameters_are_sent_and_null_leaves_one_out(store: ArtifactStore) -> None:
    bodies = list[dict[str, Any]]()
    with serving(lambda body: bodies.append(body) or good(body)) as url:  # type: ignore[func-returns-value]
        asked(store, url, count=1, parameters={"max_tokens": None, "max_completion_tokens": 9, "temperature": None})
    assert {"max_completion_tokens": 9, "model": "big"}.items() <= bodies[0].items()
    assert {"max_tokens", "temperature"}.isdisjoint(bodies[0])


def test_tools_are_sent_in_their_place_and_calls_come_back_as_rows_have_them(store: ArtifactStore) -> None:
    bodies, offered = list[dict[str, Any]](), [{"type": "function", "function": {"name": "find"}}]
    call = {"id": "1", "type": "function", "function": {"name": "find", "arguments": '{"id": 7}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}

    def calling(body: dict[str, Any]) -> Response:
        bodies.append(body)
        return JSONResponse(completion(body, choices=[{"index": 0, "finish_reason": "tool_calls", "message": message}]))

    with serving(calling) as url:
        one = Endpoint("incumbent", EndpointConfig(url=url, model="big"), 8, store, Reporter())
        (reply,) = one.ask([row_messages("Call a tool.", "Find 7.", tools=json.dumps(offered))])
    assert bodies[0]["tools"] == offered and bodies[0]["messages"][0] == {"role": "system", "content": "Call a tool."}
    assert json.loads(reply.text) == {"name": "find", "arguments": {"id": 7}}


@pytest.mark.parametrize(
    ("answers", "is_same"),
    [("big", True), ("big-2026-01-31", True), ("big@main", True), (None, True), ("big-mini", False), ("small", False)],
)
def test_a_server_may_add_a_version_to_the_name_of_the_model_and_nothing_else(
    answers: str | None, is_same: bool
) -> None:
    assert is_same_model("big", answers) == is_same
