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
from flows.sweep import Point, Trial, grid_points, in_words, sweep, with_settings
from schemas.config import RunConfig
from schemas.errors import ConfigRefused


def sweep_command(arguments: argparse.Namespace) -> int:
    """Fit every combination of the grid, then run the whole question once with the best one."""
    config = read_config(arguments.config, arguments.set)
    points = grid_points(config, read_grid(arguments.grid))
    trials = _trials(config, points)
    best = trials[0]
    console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
    for trial in trials:
        console.print(f"  {trial.validation_loss:.4f} after {trial.epochs:g} epochs: {in_words(trial.settings)}")
    console.print(
        f"best of {len(points)} by validation loss, held-out rows not seen: {in_words(best.settings)}", style="bold"
    )
    return decide_with(arguments, with_settings(config, best.settings), finetune)


def read_grid(lines: list[str]) -> dict[str, list[Any]]:
    """Return setting -> values from lines such as ``training.rank=8,16,32``.

    Raises:
        ConfigRefused: a line is not of this form, or names a setting again.
    """
    grid: dict[str, list[Any]] = {}
    for line in lines:
        name, equals, text = line.partition("=")
        name = name.strip()
        if not equals or not name or name in grid:
            raise ConfigRefused(f"--grid {line}: write each setting once, as --grid training.rank=8,16,32.")
        grid[name] = [_value(line, part) for part in text.split(",")]
    return grid


def _value(line: str, text: str) -> Any:
    try:
        value = yaml.safe_load(text)
        return float(value) if isinstance(value, str) and _is_number(value) else value  # YAML reads 1e-4 as a text
    except yaml.YAMLError:
        raise ConfigRefused(f"--grid {line}: the value {text!r} is not YAML; quote it.") from None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _trials(config: RunConfig, points: list[Point]) -> list[Trial]:
    """Return the trials: from the store where all of them are there, else by running the flow."""
    found = planned(config, sweep, points)
    if not found.is_all_hits:
        with one_at_a_time(config, sweep):
            failure = run_flow(sweep, config, points)
            if failure is not None:
                raise failure
    return sweep.fn(config, points)
