"""The server: OpenAI's chat completions over HTTP for registered versions, with limits, health and metrics."""

from __future__ import annotations

import hmac
import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from tasks.registry.serving.answering import Answer, answered, logprobs_of
from tasks.registry.serving.chat_request import ChatRequest, RequestRefused
from tasks.registry.serving.following import Followed

Next = Callable[[Request], Awaitable[Response]]
LENGTHS = (16, 64, 256, 1024, 4096, 16384)


@dataclass(frozen=True)
class Limits:
    """What the server takes at once; `token`: what clients have to send as their bearer token, "" for nothing."""

    token: str = ""
    body_bytes: int = 1_000_000
    requests: int = 64


class Meters:
    """What is counted: sizes and seconds, never what was asked."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "tuneworthy_requests", "Requests by model and status.", ["model", "status"], registry=self.registry
        )
        self.active = Gauge("tuneworthy_active_requests", "Requests under way.", registry=self.registry)
        self.cut = Counter("tuneworthy_answers_cut", "Answers that the limit ended.", ["model"], registry=self.registry)
        self.first = self._spread("first_token_seconds", "From request to first token.", Histogram.DEFAULT_BUCKETS)
        self.prompt = self._spread("prompt_tokens", "Tokens of a prompt.", LENGTHS)
        self.answer = self._spread("answer_tokens", "Tokens of an answer.", LENGTHS)

    def _spread(self, name: str, what: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"tuneworthy_{name}", what, ["model"], buckets=buckets, registry=self.registry)


class Server:
    """Answers for the names that are served: model name, as clients send it -> what answers for it."""

    def __init__(self, served: dict[str, Followed], limits: Limits) -> None:
        self.served, self.limits, self.meters, self.active = served, limits, Meters(), 0

    async def complete(self, asked: ChatRequest) -> Response:
        """Answer a request at once or as a stream."""
        response = await self._response(asked)
        known = asked.model if asked.model in self.served else "unknown"
        self.meters.requests.labels(known, response.status_code).inc()
        return response

    async def _response(self, asked: ChatRequest) -> Response:
        if asked.model not in self.served:
            listed = ", ".join(self.served)
            return _refused(404, f"model: {asked.model!r} is not served; these are: {listed}", code="model_not_found")
        if self.active >= self.limits.requests:
            said = f"{self.limits.requests} requests are under way; try again"
            return _refused(429, said, "rate_limit_error", headers={"Retry-After": "1"})
        growing = self._measured(asked)
        try:
            answer = await anext(growing)
            if asked.stream:
                return StreamingResponse(_events(asked, answer, growing), media_type="text/event-stream")
            while answer.reason is None:
                answer = await anext(growing)
            await growing.aclose()
        except RequestRefused as fault:
            return _refused(400, str(fault))
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": answer.text},
            "logprobs": logprobs_of(answer.version, answer.tokens),
            "finish_reason": answer.reason,
        }
        return JSONResponse(_head(asked, answer, "chat.completion") | {"choices": [choice], "usage": answer.usage})

    async def _measured(self, asked: ChatRequest) -> AsyncGenerator[Answer]:
        """Yield the answer as it grows, and count it when it has ended, however that was."""
        started, model, answer = time.monotonic(), asked.model, None
        self.active += 1
        try:
            async with aclosing(answered(self.served[model], asked)) as growing:
                async for answer in growing:
                    if len(answer.tokens) == 1:
                        self.meters.first.labels(model).observe(time.monotonic() - started)
                    yield answer
        finally:
            self.active -= 1
            if answer is not None:
                self.meters.prompt.labels(model).observe(answer.prompt_tokens)
                self.meters.answer.labels(model).observe(len(answer.tokens))
                self.meters.cut.labels(model).inc(answer.reason == "length")


def serving_app(server: Server) -> FastAPI:
    """Return the server's application."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        for followed in server.served.values():
            followed.close()

    app, limits = FastAPI(title="tuneworthy", lifespan=lifespan, docs_url=None, redoc_url=None), server.limits

    @app.middleware("http")
    async def guard(request: Request, call_next: Next) -> Response:
        wanted, given = f"Bearer {limits.token}", request.headers.get("authorization", "")
        if limits.token and request.url.path != "/health" and not hmac.compare_digest(wanted.encode(), given.encode()):
            return _refused(401, "a valid bearer token is needed", "authentication_error")
        return _size_problem(request, limits.body_bytes) or await call_next(request)

    @app.exception_handler(RequestValidationError)
    async def refuse(request: Request, fault: RequestValidationError) -> Response:
        first = fault.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body")
        return _refused(400, f"{where or 'body'}: {first['msg']}")

    @app.get("/health")
    async def health() -> dict[str, Any]:
        return {"status": "ok", "models": {name: one.now.version for name, one in server.served.items()}}

    @app.get("/metrics")
    async def metrics() -> Response:
        server.meters.active.set(server.active)
        return Response(generate_latest(server.meters.registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        about = {"object": "model", "owned_by": "tuneworthy"}
        listed = [{"id": name, "version": one.now.version} | about for name, one in server.served.items()]
        return {"object": "list", "data": listed}

    app.post("/v1/chat/completions", response_model=None)(server.complete)
    return app


async def _events(asked: ChatRequest, answer: Answer, growing: AsyncGenerator[Answer]) -> AsyncIterator[str]:
    """Yield the answer as server-sent events, each with what is new; a client that leaves ends it."""
    async with aclosing(growing):
        async for event in _told(asked, answer, growing):
            yield event


async def _told(asked: ChatRequest, answer: Answer, growing: AsyncGenerator[Answer]) -> AsyncIterator[str]:
    head = _head(asked, answer, "chat.completion.chunk")
    yield _event(head, {"role": "assistant", "content": ""}, None, None)
    told, tokens = 0, 0
    while True:
        new, logprobs = answer.text[told:], logprobs_of(answer.version, answer.tokens[tokens:])
        told, tokens = len(answer.text), len(answer.tokens)
        if new or logprobs:
            yield _event(head, {"content": new}, None, logprobs)
        if answer.reason is not None:
            break
        answer = await anext(growing)
    yield _event(head, {}, answer.reason, None)
    if asked.stream_options.include_usage:
        yield f"data: {json.dumps(head | {'choices': [], 'usage': answer.usage})}\n\n"
    yield "data: [DONE]\n\n"


def _event(head: dict[str, Any], delta: dict[str, str], reason: str | None, logprobs: dict[str, Any] | None) -> str:
    choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
    return f"data: {json.dumps(head | {'choices': [choice]})}\n\n"


def _head(asked: ChatRequest, answer: Answer, kind: str) -> dict[str, Any]:
    mark = f"version-{answer.version.version}"
    made = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time())}
    return made | {"object": kind, "model": asked.model, "system_fingerprint": mark}


def _refused(
    status: int,
    message: str,
    kind: str = "invalid_request_error",
    code: str | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """Return an error in the form that OpenAI's clients read."""
    return JSONResponse({"error": {"message": message, "type": kind, "param": None, "code": code}}, status, headers)


def _size_problem(request: Request, most: int) -> Response | None:
    length = request.headers.get("content-length", "")
    if request.method != "POST":
        return None
    if not length.isdigit():
        return _refused(411, "content-length: is needed")
    return _refused(413, f"the body has {length} bytes; at most {most} are taken") if int(length) > most else None
