"""The command `advise`: what to do next, and the evidence for it."""

from __future__ import annotations

import argparse

from rich.console import Console

from flows.advise import advise
from flows.command_line.commands import one_at_a_time, planned, run_flow
from flows.command_line.terminal import seconds_in_words
from flows.inputs.config_file import read_config
from schemas.findings.advice import Advice
from tasks.reuse.current_store import current_store


def advise_command(arguments: argparse.Namespace) -> int:
    """Run the whole question and the learning curve where they are not in the store, and show the advice."""
    config = read_config(arguments.config, arguments.set)
    if not planned(config, advise).is_all_hits:
        with one_at_a_time(config, advise):
            failure = run_flow(advise, config)
        if failure is not None:
            raise failure
    folder = current_store().open(advise.fn(config).digest)
    advice = Advice.model_validate_json((folder / "advice.json").read_text(encoding="utf-8"))
    if arguments.json:
        print(advice.model_dump_json())
        return 0
    console = Console(highlight=False, soft_wrap=True)
    for line in advice_lines(advice):
        console.print(line, markup=False)
    console.print(f"report with the learning curve: {folder / 'report.html'}", markup=False)
    console.print(advice.advice, style="bold", markup=False)
    return 0


def advice_lines(advice: Advice) -> list[str]:
    """Return the evidence: the learning curve, the kinds of wrong answers, and what the next step costs."""
    lines = ["learning curve on the held-out rows:"] if advice.curve else []
    for point in advice.curve:
        scored = f"{point.score:.3f} ({point.low:.3f} to {point.high:.3f})"
        lines.append(f"  {point.train_rows:>7,} train rows ({point.share:.0%})  {scored}")
    if advice.trend:
        lines.append(f"  from half of the train groups to all of them: {advice.trend_in_words}")
    lines.append(
        f"answers of {advice.arm} that are not wholly right:" if advice.errors else f"{advice.arm} is always right"
    )
    for found in advice.errors:
        rows = ", ".join(map(str, found.rows[:5]))
        lines.append(f"  {found.share:.0%} ({found.low:.0%} to {found.high:.0%}) {found.kind}, such as rows {rows}")
    if advice.seconds_needed is not None:
        lines.append(f"the next training takes about {seconds_in_words(advice.seconds_needed)}, as it did here")
    return lines
