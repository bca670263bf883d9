"""The commands `validate`, rows checked and split, and what they can show, before a model is loaded, and `label`, a
teacher's answers as a file for a person to look over.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from flows.arms import refuse_more_than_rows, with_index
from flows.command_line.terminal import TerminalReporter, mended_lines
from flows.inputs.config_file import read_config
from flows.inputs.rows import checked_rows, labels_of
from flows.inputs.sources import RunSources, locate
from flows.reporting import report_data
from schemas.artifacts import Artifact, DataArtifact, DataReportArtifact, LeakageArtifact, RenderingArtifact
from schemas.config import RunConfig
from schemas.errors import ConfigRefused
from tasks.base.task import fetch_base
from tasks.data.overlap.matrix import matrix_lines
from tasks.data.task import check_leakage, check_rendering, read_slices, write_fixed_copy
from tasks.decision.foresight import Foresight, foresee
from tasks.reuse.current_store import current_store
from tasks.reuse.planning import current_run
from tasks.reuse.progress import current_reporter


def validate(arguments: argparse.Namespace) -> int:
    """Check and split the rows of a config."""
    config = read_config(arguments.config, arguments.set)
    current_run.set(config.name)
    sources = locate(config)
    mended = write_fixed_copy(sources.data, arguments.fix) if arguments.fix else None
    if mended is not None and not arguments.json:  # printed before the rows are checked, as they may be refused
        print("\n".join(mended_lines(mended, arguments.fix)))
    token = current_reporter.set(TerminalReporter(Console(file=sys.stderr, highlight=False, soft_wrap=True)))
    try:
        data = checked_rows(config, sources)
        refuse_more_than_rows(config.arms, data)
        if config.decision.slices:
            read_slices(config.decision.slices, data, sources.data.every_row)
        leakage = check_leakage(data, sources.benchmark, sources.cached_items)
        rendering = _rendering(config, sources, data)
        page = report_data(config, data, rendering, leakage)
    finally:
        current_reporter.reset(token)
    gain = foreseen(config, data)
    if arguments.json:
        answer = {
            "data": data.model_dump(mode="json"),
            "leakage": leakage.model_dump(mode="json"),
            "rendering": rendering and rendering.model_dump(mode="json"),
            "foresight": gain and gain.as_json(),
            "columns": json.loads((_opened(data) / "report.json").read_text(encoding="utf-8"))["columns"],
            "report": str(_opened(page) / "report.html"),
        }
        print(json.dumps(answer if mended is None else {**answer, "mended": asdict(mended)}))
        return 0
    _show_data(data, leakage, rendering, page, gain)
    return 0


def _rendering(config: RunConfig, sources: RunSources, data: DataArtifact) -> RenderingArtifact | None:
    """Return the rows' lengths in tokens where the base model is in the store already; validate does not fetch it."""
    base = fetch_base.call(sources.base).recorded()
    shown = with_index(config, sources.encoder, data) if base is not None and config.learned_context else data
    return None if base is None else check_rendering(config.task, base, shown, *config.rendered)


def foreseen(config: RunConfig, data: object) -> Foresight | None:
    """Return what the held-out rows can show of a gain; None while the rows are not checked, or nothing is tuned."""
    if not isinstance(data, DataArtifact) or not config.arms.trained:
        return None
    return foresee(data, config.decision, config.name, len(config.arms.trained))


def show_foresight(console: Console, foreseen: Foresight | None) -> None:
    """Show what the held-out rows can tell of a gain."""
    if foreseen is None:
        return
    console.print(f"{foreseen.in_words}.", markup=False)
    if foreseen.warning:
        console.print(f"warning: {foreseen.warning}.", style="yellow", markup=False)


def _show_data(
    data: DataArtifact,
    leakage: LeakageArtifact,
    rendering: RenderingArtifact | None,
    page: DataReportArtifact,
    gain: Foresight | None,
) -> None:
    console = Console(highlight=False, soft_wrap=True)
    kept = f"{data.train_rows} rows to train on, {data.held_out_rows} held out"
    console.print(f"{kept}, {data.refused_rows} refused, {data.documents} documents.")
    for reason, count in sorted(data.reasons.items()):
        console.print(f"  {reason:<28} {count}")
    console.print(f"{leakage.items} of {leakage.texts} benchmark texts occur in {leakage.rows} train rows.")
    for line in matrix_lines(_opened(data), _opened(leakage)):
        console.print(f"  {line}", markup=False)
    uncounted = "not counted, as the base model is not in the store yet; a run puts it there"
    console.print(f"tokens: {rendering.in_words if rendering else uncounted}.")
    show_foresight(console, gain)
    console.print(f"rows, reasons and the leakage matrix: {_opened(data)}")
    console.print(f"report on the rows: {_opened(page) / 'report.html'}")


def _opened(artifact: Artifact) -> Path:
    return current_store().open(artifact.digest)


def label(arguments: argparse.Namespace) -> int:
    """Write the teacher's answers to a file; never over one that is there, as a person may have worked on it."""
    config = read_config(arguments.config, arguments.set)
    out = arguments.out or Path(config.folder) / f"{config.name}.labels.jsonl"
    if config.data.teacher is None:
        raise ConfigRefused("data.teacher: there is none to ask; name one of arms.endpoints.")
    if out.exists():
        raise ConfigRefused(f"{out} is there already. Move it, or name another file with --out.")
    current_run.set(config.name)
    token = current_reporter.set(TerminalReporter(Console(file=sys.stderr, highlight=False, soft_wrap=True)))
    try:
        found = labels_of(config, locate(config))
    finally:
        current_reporter.reset(token)
    shutil.copyfile(current_store().open(found.digest) / "labels.jsonl", out)
    if arguments.json:
        print(json.dumps(found.model_dump(mode="json") | {"file": str(out)}))
        return 0
    print(f"{out}: {found.asked} rows with a request only, {found.kept} answers of {found.teacher} kept")
    for reason, count in found.left_out.items():
        print(f"  {count} not kept: {reason}")
    print("Look them over, mend or remove lines, and name the file in data.source in place of the requests.")
    return 0
