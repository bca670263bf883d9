"""The command `sweep`: training settings searched on the validation groups, and one whole run with the best of them."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import yaml
from rich.console import Console

from flows.command_line.commands import decide_with, one_at_a_time, planned, run_flow
from flows.finetune import finetune
from flows.inputs.config_file import read_config
from flows.sweep import Space, Trial, checked, grid_points, in_words, search, sweep, with_settings
from schemas.config import RunConfig
from schemas.errors import ConfigRefused


def sweep_command(arguments: argparse.Namespace) -> int:
    """Fit every combination of the grid, or the trials of a search, then run the whole question once with the best."""
    config = read_config(arguments.config, arguments.set)
    if bool(arguments.grid) == bool(arguments.search):
        raise ConfigRefused(
            "A sweep takes either --grid training.rank=8,16 (every combination is fitted) or --search "
            "training.learning_rate=1e-5..1e-3 (trials are proposed)."
        )
    if arguments.grid:
        trials = _trials(config, sweep, grid_points(config, read_grid(arguments.grid)))
    else:
        trials = _trials(config, search, checked(config, read_space(arguments.search)), arguments.trials)
    best = trials[0]
    console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
    for trial in trials:
        console.print(f"  {trial.validation_loss:.4f} after {trial.epochs:g} epochs: {in_words(trial.settings)}")
    console.print(
        f"best of {len(trials)} by validation loss, held-out rows not seen: {in_words(best.settings)}", style="bold"
    )
    return decide_with(arguments, with_settings(config, best.settings), finetune)


def read_grid(lines: list[str], option: str = "grid") -> dict[str, list[Any]]:
    """Return setting -> values from lines such as ``training.rank=8,16,32``.

    Raises:
        ConfigRefused: a line is not of this form, or names a setting again.
    """
    grid: dict[str, list[Any]] = {}
    for line in lines:
        name, equals, text = line.partition("=")
        name = name.strip()
        if not equals or not name or name in grid:
            raise ConfigRefused(f"--{option} {line}: write each setting once, as --{option} training.rank=8,16,32.")
        grid[name] = [_value(line, part) for part in text.split(",")]
    return grid


def read_space(lines: list[str]) -> Space:
    """Return setting -> its values, or the ends of its range, from lines such as ``training.learning_rate=1e-5..1e-3``.

    Raises:
        ConfigRefused: a line is not of this form, or a range does not rise.
    """
    space: Space = {}
    for name, values in read_grid(lines, "search").items():
        space[name] = values
        if len(values) == 1 and isinstance(values[0], str) and ".." in values[0]:
            low, high = (_value(values[0], end) for end in values[0].split("..", 1))
            if not isinstance(low, int | float) or not isinstance(high, int | float) or not low < high:
                raise ConfigRefused(f"--search {name}={values[0]}: write the ends as numbers that rise, as 1e-5..1e-3.")
            space[name] = (low, high)
    return space


def _value(line: str, text: str) -> Any:
    try:
        value = yaml.safe_load(text)
        return float(value) if isinstance(value, str) and _is_number(value) else value  # YAML reads 1e-4 as a text
    except yaml.YAMLError:
        raise ConfigRefused(f"{line}: the value {text!r} is not YAML; quote it.") from None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _trials(config: RunConfig, flow: Any, *asked: Any) -> list[Trial]:
    """Return the trials: from the store where all of them are there, else by running the flow."""
    if not planned(config, flow, *asked).is_all_hits:
        with one_at_a_time(config, flow):
            failure = run_flow(flow, config, *asked)
            if failure is not None:
                raise failure
    return list(flow.fn(config, *asked))
