"""What a person sees in the terminal: a line a stage during a run, then tables. Progress goes to stderr."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from schemas.findings.endpoints import EndpointReport
from schemas.findings.loss import BenchmarkTask, NeutralLoss
from schemas.reports import ArmReport, ChampionReport, Verdict
from tasks.reuse.planning import Plan, PlannedStage
from tasks.reuse.progress import Reporter

if TYPE_CHECKING:
    from tasks.data.checking.fixing import FixedCopy

SECONDS_BETWEEN_LINES = 30.0
ROWS_SHOWN = 5  # of a table
CHARACTERS_SHOWN = 60  # of a row's request
OUTLOOKS = {"hit": ("✓", "green"), "will run": ("●", "yellow"), "depends": ("○", "cyan"), "spared": ("-", "dim")}
STANDINGS = {"good": "green", "unclear": "yellow", "short": "red"}
LOSSES = {"kept": "green", "inconclusive": "yellow", "lost": "red"}


def seconds_in_words(seconds: float | None) -> str:
    """Return a duration in seconds, or in minutes and seconds."""
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"


def bytes_in_words(count: int | None) -> str:
    """Return a size in MB or GB."""
    if not count:
        return ""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


class TerminalReporter(Reporter):
    """Shows stages as they come: a bar on a terminal, a line now and then in a log."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar: Progress | None = None
        self.bar_task: TaskID | None = None
        self.label = ""
        self.printed_at = 0.0

    def stage_started(self, label: str, why: str) -> None:
        """Show that a stage runs, and why."""
        self.label, self.printed_at = label, time.monotonic()
        self.console.print(f"[yellow]●[/] {escape(label):<28} runs: {escape(why)}", highlight=False)

    def stage_finished(self, label: str, how: str, seconds: float, peak_bytes: int) -> None:
        """Show that a stage has its artifact."""
        self._close_bar()
        measured = f"{seconds_in_words(seconds):>12}  {bytes_in_words(peak_bytes):>7}"
        took = measured if how == "ran" else f"{'from store':>12}"
        self.console.print(f"[green]✓[/] {escape(label):<28} {took}", highlight=False)

    def stage_failed(self, label: str, error: BaseException) -> None:
        """Show that a stage gave up; the whole message comes once, at the end."""
        self._close_bar()
        self.console.print(f"[red]✗[/] {escape(label):<28} {escape(type(error).__name__)}", highlight=False)

    def say(self, line: str) -> None:
        """Show a decision of the running stage."""
        self.console.print(f"  [dim]{escape(line)}[/]", highlight=False)

    def table(self, key: str, rows: list[dict[str, Any]], description: str) -> None:
        """Show the first rows, one line each; the caller says where all of them are."""
        for row in rows[:ROWS_SHOWN]:
            self.console.print(f"  [dim]{escape(_row_in_a_line(row))}[/]", highlight=False)

    def advance(self, done: float, total: float, note: str = "") -> None:
        """Move the bar, or write a line every half minute where there is no terminal."""
        if self.console.is_terminal:
            self._move_bar(done, total, note)
        elif time.monotonic() - self.printed_at > SECONDS_BETWEEN_LINES:
            self.printed_at = time.monotonic()
            share = f"{100 * done / max(total, 1e-9):.0f}%"
            self.console.print(f"  {escape(self.label)} {share}  {escape(note)}", highlight=False)

    def _move_bar(self, done: float, total: float, note: str) -> None:
        if self.bar is None or self.bar_task is None:
            name, share = TextColumn("  {task.description:<26}"), TextColumn("{task.percentage:>3.0f}%")
            columns = name, BarColumn(24), share, TimeElapsedColumn(), TextColumn("{task.fields[note]}")
            self.bar = Progress(*columns, console=self.console, transient=True)
            self.bar_task = self.bar.add_task(self.label, total=total, note=note)
            self.bar.start()
        self.bar.update(self.bar_task, completed=done, total=total, note=note)

    def _close_bar(self) -> None:
        if self.bar is not None:
            self.bar.stop()
        self.bar = self.bar_task = None


def _row_in_a_line(row: dict[str, Any]) -> str:
    begun = f' "{row["prompt"][:CHARACTERS_SHOWN]}"' if row["prompt"] else ""
    return f"{row['file']}:{row['line']} {row['reason']}:{begun} {row['detail'] or ''}. {row['mend']}"


def mended_lines(mended: FixedCopy, out: Path) -> list[str]:
    """Return how a mended copy differs: for each kind of change, its count and a few rows before and after."""
    changes = out.with_name(f"{out.stem}.changes.jsonl")
    lines = [f"mended copy: {out}: {mended.read} rows read, {mended.written} written; every change: {changes}"]
    for mend, count in mended.counts.most_common():
        shown = [edit for edit in mended.examples if edit.mend == mend]
        lines += [f"  {mend:<28} {count}"]
        lines += [f'    {edit.place}  "{edit.before}" {_became(edit.after)}' for edit in shown]
    return lines if mended.counts else [*lines, "  nothing to mend"]


def _became(after: str | None) -> str:
    return "left out" if after is None else f'-> "{after}"'


def plan_lines(plan: Plan, spared: list[str]) -> list[Text]:
    """Return one line per stage: what will happen, and why."""
    stages = [*plan.stages, *(PlannedStage(label, "spared", "an untrained arm meets the target") for label in spared)]
    width = max(len(stage.label) for stage in stages)
    return [_plan_line(stage, width) for stage in stages]


def _plan_line(stage: PlannedStage, width: int) -> Text:
    mark, colour = OUTLOOKS[stage.outlook]
    line = Text(f"{mark} {stage.label:<{width}}  ")
    line.append(f"{stage.outlook:<8}", style=colour)
    past = ", ".join(part for part in (seconds_in_words(stage.seconds), bytes_in_words(stage.peak_bytes)) if part)
    estimate = f"; about {past}" if past and stage.outlook == "will run" else ""
    line.append(f"  {stage.why}{estimate}" if stage.why else "", style="dim" if stage.outlook != "will run" else "")
    return line


def verdict_table(verdict: Verdict, seconds: dict[str, float]) -> Table:
    """Return the arms as a table: score with interval, contract, tokens and seconds a row, gain over untrained."""
    names = ("score", f"{verdict.confidence:.0%} interval", "valid", "in", "out", "s/row", "gain")
    table = plain_table(f"verdict: {verdict.verdict} ({verdict.sample})", "arm", names)
    for arm in verdict.arms:
        table.add_row(*_arm_cells(arm, seconds.get(arm.arm)))
    if verdict.champion:
        table.add_section()
        table.add_row(*_champion_cells(verdict.champion, seconds.get("champion")))
    if verdict.endpoints:
        table.add_section()
    for endpoint in verdict.endpoints:
        table.add_row(*_endpoint_cells(endpoint))
    return table


def advice_lines(verdict: Verdict) -> list[str]:
    """Return what to do now, what could still be won, and what may make the scores look better than they are."""
    said = (verdict.recommendation, verdict.gain_note, verdict.winnable, verdict.retrieval_in_words)
    return [*filter(None, said), *verdict.caveats]


def endpoint_lines(verdict: Verdict) -> list[str]:
    """Return whether an arm can take the place of an endpoint, and what went wrong with it."""
    return [line for endpoint in verdict.endpoints for line in endpoint.lines]


def champion_lines(verdict: Verdict) -> list[str]:
    """Return how the registry's champion does on today's rows, or why none was measured."""
    if verdict.champion:
        return list(verdict.champion.reasons)
    return [f"champion: {verdict.champion_note}."] if verdict.champion_note else []


def plain_table(title: str, first: str, numbers: tuple[str, ...], style: str = "bold") -> Table:
    """Return an empty table that fits 80 columns: one column of names, the others of numbers."""
    table = Table(title=title, title_style=style, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1))
    table.pad_edge = False
    table.add_column(first, no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _arm_cells(arm: ArmReport, seconds: float | None) -> list[str]:
    gain = "" if arm.gain is None else f"{arm.gain:+.3f}"
    return [arm.arm, *_measured(arm, STANDINGS[arm.standing]), "" if seconds is None else f"{seconds:.2f}", gain]


def _measured(arm: ArmReport | ChampionReport | EndpointReport, colour: str) -> list[str]:
    tokens = f"{arm.prompt_tokens:.0f}", f"{arm.output_tokens:.0f}"
    interval = f"{arm.low:.3f} to {arm.high:.3f}"
    return [f"[{colour}]{arm.score:.3f}[/]", interval, f"{arm.valid_rate:.0%}", *tokens]


def _champion_cells(champion: ChampionReport, seconds: float | None) -> list[str]:
    """Return the champion as a line of the arms' table; its gain is over the best untrained arm on its own rows."""
    colour = STANDINGS[champion.standing] if champion.standing else "default"
    took = "" if seconds is None else f"{seconds:.2f}"
    return [f"champion v{champion.version}", *_measured(champion, colour), took, f"{champion.lead:+.3f}"]


def _endpoint_cells(endpoint: EndpointReport) -> list[str]:
    if endpoint.problem:
        return [endpoint.name, "[red]failed[/]"]
    return [endpoint.name, *_measured(endpoint, "default"), f"{endpoint.seconds:.2f}"]


def gate_table(verdict: Verdict) -> Table | None:
    """Return what the adapter forgot as a table, or None where nothing was trained."""
    if verdict.gate is None:
        return None
    names = ("items", "base", "tuned", "change", f"{verdict.confidence:.0%} interval")
    table = plain_table(escape(verdict.gate.in_words), "benchmark", names)
    shown = verdict.gate.shown
    lines: list[tuple[str, int, BenchmarkTask | NeutralLoss]] = [(one.task, one.items, one) for one in shown]
    if neutral := verdict.gate.neutral:
        lines.append(("neutral text (nats)", neutral.texts, neutral))
    for name, items, task in lines:
        change = f"[{LOSSES[task.standing]}]{task.difference:+.3f}[/]", f"{task.low:+.3f} to {task.high:+.3f}"
        table.add_row(name, str(items), f"{task.base:.3f}", f"{task.tuned:.3f}", *change)
    return table
