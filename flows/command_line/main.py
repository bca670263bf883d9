"""The command line: it parses, calls and prints. Heavy imports happen inside the commands, so that --help answers at
once.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Threads of torch that wait for work by spinning starve each other where other work shares the cores: 740 tokens/s fell
# to 35. Read once, by libgomp.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")
# oneDNN keeps the code of 1024 products; packs and prompts of many lengths fill it with 300 MB that are hardly asked
# for again. Read at its first product.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")

DESCRIPTION = """Is this task worth fine-tuning for, and did the tuning earn its place?

One config file is one whole run: check the rows, measure prompt, few-shot and retrieval, train an adapter only if that
can still win, measure it on the same rows, see what was forgotten, decide with intervals, register in MLflow."""
EPILOG = """exit codes: 0 done (any verdict) · 2 config refused · 3 data refused · 4 adapter refused by its gate
            5 something the machine lacks · 1 anything else"""
COMMANDS = {
    "run": "find the verdict; what is in the store already is not done again",
    "plan": "say what `run` would do and why, without doing it",
    "compare": "measure the untrained arms only: do we need to fine-tune at all?",
    "validate": "check and split the rows only",
    "rollback": "make the champion before this one champion again",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = _parser().parse_args(argv)
    end_on_sigterm()
    from schemas.errors import TuneworthyError

    try:
        return int(_command(arguments.command)(arguments))
    except TuneworthyError as error:
        _tell(error, arguments)
        return error.exit_code
    except KeyboardInterrupt:
        print("Stopped. What was sealed stays in the store; run the same command to go on.", file=sys.stderr)
        return 130


def end_on_sigterm() -> None:
    """Make SIGTERM end this process as an error would, so that leases on a shared store are given back at once."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "tuneworthy", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, purpose in COMMANDS.items():
        command = commands.add_parser(name, help=purpose, description=f"{purpose[:1].upper()}{purpose[1:]}.")
        command.add_argument("config", type=Path, metavar="CONFIG", help="YAML file, such as configs/demo.yaml")
        command.add_argument(
            "--set", action="append", default=[], metavar="A.B=VALUE", help="override one setting; may be given again"
        )
        command.add_argument("--json", action="store_true", help="one JSON object on stdout, progress on stderr")
        if name == "validate":
            command.add_argument(
                "--fix",
                type=Path,
                metavar="OUT",
                help="write a mended copy of the rows to OUT (jsonl), with a list of the changes",
            )
        if name == "rollback":
            command.add_argument(
                "--to", metavar="VERSION", help="the version to be champion, instead of the one that was before"
            )
        if name == "plan":
            command.add_argument(
                "--against", type=Path, metavar="OTHER", help="say how the stages differ from those of another config"
            )
    bootstrap = commands.add_parser(
        "bootstrap",
        help="make the Prefect pools, limits and the automation that a team needs",
        description="Set a Prefect server up.",
    )
    bootstrap.add_argument(
        "--gpu-slots", type=int, default=1, metavar="N", help="trainings that may run at once on the gpu pool (1)"
    )
    store = commands.add_parser(
        "store", help="check the store, or remove what nobody needs", description="Upkeep of the store."
    )
    duties = store.add_subparsers(dest="duty", required=True, metavar="DUTY")
    duties.add_parser("verify", help="read every artifact and compare it byte for byte with its digest")
    collect = duties.add_parser(
        "gc", help="remove artifacts that no young record, no recent verdict and no registered version needs"
    )
    collect.add_argument(
        "--keep-days", type=float, default=30, metavar="N", help="keep what was sealed in the last N days (30)"
    )
    collect.add_argument(
        "--keep-verdicts", type=int, default=10, metavar="N", help="keep what the last N verdicts stand on (10)"
    )
    collect.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    doctor = commands.add_parser(
        "doctor", help="check this machine: packages, memory, models, servers", description="Check this machine."
    )
    doctor.add_argument("--json", action="store_true", help="one JSON object on stdout")
    return parser


def _command(name: str) -> Any:
    if name == "doctor":
        from flows.command_line.doctor import doctor

        return doctor
    if name == "bootstrap":
        from flows.command_line.bootstrap import bootstrap

        return bootstrap
    if name == "rollback":
        from flows.command_line.rollback import rollback

        return rollback
    if name == "store":
        from flows.command_line.store_upkeep import upkeep

        return upkeep
    from flows.command_line import commands

    return getattr(commands, name)


def _tell(error: Exception, arguments: argparse.Namespace) -> None:
    if getattr(arguments, "json", False):
        print(
            json.dumps(
                {"error": type(error).__name__, "message": str(error), "exit_code": getattr(error, "exit_code", 1)}
            )
        )
    print(f"tuneworthy: {error}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
