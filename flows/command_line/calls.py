"""What every command's parser stands on: the call that it asks for, and the arguments that many take."""

from __future__ import annotations

import importlib
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file, such as configs/demo.yaml.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=VALUE", help="Override one setting; may be given again.")
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, progress on stderr.")]


@dataclass(frozen=True)
class Call:
    """What a command line asks for: a function of a module of this package, and what it is called with."""

    module: str
    function: str
    arguments: Namespace

    def __call__(self) -> int:
        """Load the module, do what was asked and return the exit code."""
        module = importlib.import_module(f"flows.command_line.{self.module}")
        return int(getattr(module, self.function)(self.arguments))
