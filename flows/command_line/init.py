"""`tuneworthy init`: a config for rows that nobody has described yet, with a reason beside each guess."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path

from flows.inputs.config_file import read_config
from flows.inputs.sources import locate
from schemas.errors import ConfigRefused, DatasetRefused
from tasks.data.drafting.draft import Draft, draft_config
from tasks.data.drafting.guesses import Guess, Wishes
from tasks.data.task import validate_data
from tasks.reuse.planning import current_run

SHOWN = 70  # characters of a value


def init(arguments: argparse.Namespace) -> int:
    """Write the config, and say what was guessed and why.

    Raises:
        ConfigRefused: a file is there already, or something only the user knows is open.
        DatasetRefused: the rows cannot be read.
    """
    told = {name: getattr(arguments, name) for name in ("group", "answer", "database", "base")}
    told |= {name: getattr(arguments, name) or None for name in ("instruction", "prompt", "completion")}
    wishes = Wishes(arguments.task, **told)
    draft = draft_config(arguments.rows, arguments.out, _command(arguments), wishes)
    _write(draft.files, arguments.force)
    config = next(iter(draft.files))
    draft.guesses.extend(_open_rows(config))
    if arguments.json:
        print(json.dumps(_as_json(draft)))
        return 0
    _show(draft, config)
    return 0


def _open_rows(config: Path) -> list[Guess]:
    """Check the rows as `validate` will, which then has them in the store; return the question they leave open."""
    drafted = read_config(config)
    current_run.set(drafted.name)
    try:
        validate_data(drafted.task, drafted.data, drafted.seed, locate(drafted).data, *drafted.learned)
    except DatasetRefused as fault:
        question = f"Are the refused rows right for your task, or wrong? {fault}"
        return [Guess("data.refuse_above", drafted.data.refuse_above, question=question)]
    return []


def _command(arguments: argparse.Namespace) -> str:
    """Return what to type for the same draft."""
    told = {name: value for name, value in vars(arguments).items() if name not in ("rows", "json", "force")}
    if told["base"] == Wishes.base:
        del told["base"]
    options = [part for name, value in told.items() if value is not None for part in (f"--{name}", str(value))]
    return " ".join(shlex.join(["tuneworthy", "init", arguments.rows, *options]).split())


def _write(files: dict[Path, str], is_forced: bool) -> None:
    there = [str(path) for path in files if path.exists()]
    if there and not is_forced:
        raise ConfigRefused(
            f"{' and '.join(there)} exists already. Name another file with --out or --task, or overwrite with --force."
        )
    for path, text in files.items():
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as fault:
            raise ConfigRefused(f"{path} cannot be written: {fault.strerror}. Name another place with --out.") from None


def _as_json(draft: Draft) -> dict[str, object]:
    told = ("setting", "value", "why", "question")
    guesses = [{name: getattr(guess, name) for name in told} for guess in draft.guesses]
    return {"files": [str(path) for path in draft.files], "guesses": guesses, "remarks": draft.remarks}


def _show(draft: Draft, config: Path) -> None:
    told = [guess for guess in draft.guesses if guess.why]
    width = max(len(guess.setting) for guess in told)
    for guess in told:
        print(f"{guess.setting:<{width}}  {_value(guess)}\n{'':<{width}}    {guess.why}")
    for remark in draft.remarks:
        print(f"seen: {remark}")
    for guess in draft.guesses:
        if guess.question:
            print(f"open: {guess.setting}: {guess.question}")
    print(f"written: {', '.join(map(str, draft.files))}")
    print(f"next:\n  tuneworthy validate {shlex.quote(str(config))}\n  tuneworthy run {shlex.quote(str(config))}")


def _value(guess: Guess) -> str:
    text = guess.value if isinstance(guess.value, str) else json.dumps(guess.value, ensure_ascii=False)
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else f"{line[: SHOWN - 1]}…"
