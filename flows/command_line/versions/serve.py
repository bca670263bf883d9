"""`tuneworthy serve`: registered versions behind OpenAI's chat completions."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from schemas.errors import ConfigRefused
from tasks.registry.connection import open_registry
from tasks.registry.serving.app import Limits, Server, serving_app
from tasks.registry.serving.following import Followed
from tasks.registry.serving.serving_version import Name, ServingVersion, fetch_version
from tasks.reuse.current_store import current_store


def serve(arguments: argparse.Namespace) -> int:
    """Serve until the process is ended."""
    import uvicorn

    limits = Limits(_token(arguments), requests=arguments.queue)
    names = [Name.parse(text) for text in arguments.names]
    if len({name.model for name in names}) < len(names):
        raise ConfigRefused("NAME: clients name a model, so each may be given once.")
    with tempfile.TemporaryDirectory() as folder:
        served = {name.model: follow(name, Path(folder), arguments) for name in names}
        app = serving_app(Server(served, limits))
        config = uvicorn.Config(
            app,
            arguments.host,
            arguments.port,
            log_level="warning",
            timeout_keep_alive=15,
            timeout_graceful_shutdown=30,
        )
        for name, followed in served.items():
            _say(f"serving {name} version {followed.now.version} at http://{arguments.host}:{arguments.port}/v1")
        uvicorn.Server(config).run()
    return 0


def follow(name: Name, folder: Path, arguments: argparse.Namespace) -> Followed:
    """Return what answers for a name."""
    destination, store = os.environ.get("MLFLOW_TRACKING_URI", ""), current_store()

    def find() -> str:
        with open_registry(destination, store, "What is served goes on.") as registry:
            return name.found(registry)

    def load(version: str) -> ServingVersion:
        fetched = fetch_version(
            destination, Name(name.model, version=version), store, folder / f"{name.model}-{version}"
        )
        return ServingVersion(fetched, arguments.places, arguments.room)

    return Followed(find, load, _say, 0 if name.version else arguments.poll)


def _token(arguments: argparse.Namespace) -> str:
    """Return the token that clients send.

    Raises:
        ConfigRefused: it stands in the command line itself, or nowhere; or others can reach the server without one.
    """
    if arguments.token is None:
        if arguments.host not in ("127.0.0.1", "localhost", "::1"):
            raise ConfigRefused(
                f"--host {arguments.host}: others can reach it, so --token env:VARIABLE has to name a bearer token."
            )
        return ""
    kind, _, variable = arguments.token.partition(":")
    if kind != "env" or not os.environ.get(variable):
        raise ConfigRefused(
            "--token: name an environment variable that holds it, such as env:SERVE_TOKEN; a token on the command "
            "line could be read by everybody on this machine."
        )
    return os.environ[variable]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
