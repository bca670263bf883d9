"""The commands on registered versions."""

from __future__ import annotations

from argparse import Namespace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from flows.command_line.calls import AsJson, Call, Config, Settings

NAME = "NAME@champion, NAME@challenger or NAME/3, with NAME as in registry.model."
app = typer.Typer()


class Form(StrEnum):
    """What an export is made for."""

    ADAPTER = "adapter"
    MERGED = "merged"
    VLLM = "vllm"


@app.command()
def rollback(
    config: Config,
    settings: Settings = None,
    is_json: AsJson = False,
    to: Annotated[
        str | None,
        typer.Option(metavar="VERSION", help="The version to be champion, instead of the one that was before."),
    ] = None,
) -> Call:
    """Make the champion before this one champion again."""
    return Call("versions.rollback", "rollback", Namespace(config=config, set=settings or [], json=is_json, to=to))


@app.command()
def history(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The registered model.")], is_json: AsJson = False
) -> Call:
    """Show who or what moved a model's champion, when and why."""
    return Call("versions.history", "history", Namespace(name=name, json=is_json))


@app.command()
def status(is_json: AsJson = False) -> Call:
    """Show champions, verdicts, schedules and the store."""
    return Call("versions.status", "status", Namespace(json=is_json))


@app.command()
def serve(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help=NAME)],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port.")] = 8321,
    token: Annotated[
        str | None, typer.Option(metavar="env:VARIABLE", help="Holds the bearer token that clients have to send.")
    ] = None,
    places: Annotated[int, typer.Option(min=1, max=512, metavar="N", help="Requests decoded at once.")] = 8,
    queue: Annotated[int, typer.Option(min=1, metavar="N", help="Requests under way; more are told 429.")] = 64,
    room: Annotated[int, typer.Option(min=16, metavar="TOKENS", help="Of a prompt and its answer.")] = 2048,
    poll: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Between looks at the alias; 0: never.")] = 5,
) -> Call:
    """Serve versions behind OpenAI's chat completions."""
    told = {"host": host, "port": port, "token": token, "places": places, "queue": queue, "room": room, "poll": poll}
    return Call("versions.serve", "serve", Namespace(names=names, json=False, **told))


@app.command()
def chat(name: Annotated[str, typer.Argument(metavar="NAME", help=NAME)]) -> Call:
    """Talk to a version, as it was measured."""
    return Call("versions.chat", "chat", Namespace(name=name))


@app.command()
def export(
    name: Annotated[str, typer.Argument(metavar="NAME", help=NAME)],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is not there yet, or is empty.")],
    form: Annotated[Form, typer.Option("--as", help="What for.")] = Form.MERGED,
    tolerance: Annotated[
        float, typer.Option(min=0, help="How far token probabilities may move there, in nats a token.")
    ] = 0.002,
    is_json: AsJson = False,
) -> Call:
    """Write a version for another runtime, checked there."""
    told = Namespace(name=name, folder=folder, form=form.value, tolerance=tolerance, json=is_json)
    return Call("versions.export", "export", told)
