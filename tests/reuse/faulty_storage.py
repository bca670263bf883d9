"""An S3 server with bad days: it stands before a real one (moto's), answers 500 for a while, takes its time, or lists
what it listed before.
"""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

PASSED_ON = ("content-type", "etag", "last-modified", "location", "x-amz-version-id")


class FaultyStorage:
    """Passes requests on to `endpoint`; its faults are set while it runs."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.errors = 0  # so many of the next requests are answered with 500
        self.is_down = False
        self.delay = 0.0  # seconds before each answer
        self.is_stale = False  # a listing is answered as it was when it was asked for first
        self.answered = 0
        self.listings: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.client = httpx.Client(timeout=30)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        """Stop answering."""
        self.server.shutdown()
        self.server.server_close()
        self.client.close()

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Answer one request, with the faults of this moment."""
        self.answered += 1
        time.sleep(self.delay)
        if self.is_down or self.errors > 0:
            self.errors = max(0, self.errors - 1)
            return (
                500,
                {"content-type": "application/xml"},
                b"<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>",
            )
        is_listing = method == "GET" and "list-type=2" in path
        if is_listing and self.is_stale and path in self.listings:
            return self.listings[path]
        kept = {
            name: value
            for name, value in headers.items()
            if name.lower() not in ("host", "connection", "expect", "accept-encoding")
        }
        found = self.client.request(method, self.endpoint + path, headers=kept, content=body)
        names = (*PASSED_ON, "content-length") if method == "HEAD" else PASSED_ON
        answer = (
            found.status_code,
            {name: found.headers[name] for name in names if name in found.headers},
            found.content,
        )
        if is_listing:
            self.listings.setdefault(path, answer)
        return answer

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        def handle(request: BaseHTTPRequestHandler) -> None:
            body = request.rfile.read(int(request.headers.get("content-length") or 0))
            status, headers, content = self.answer(request.command, request.path, dict(request.headers), body)
            is_head = request.command == "HEAD"
            request.send_response(status)
            for name, value in ({"content-length": "0" if is_head else str(len(content))} | headers).items():
                request.send_header(name, value)
            request.end_headers()
            request.wfile.write(b"" if is_head else content)

        answers = {f"do_{verb}": handle for verb in ("GET", "PUT", "HEAD", "POST", "DELETE")}
        return type(
            "Handler",
            (BaseHTTPRequestHandler,),
            {**answers, "protocol_version": "HTTP/1.1", "log_message": lambda *_: None},
        )
