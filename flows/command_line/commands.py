"""The commands behind the command line. `run` and `plan` walk the same flow body, so they cannot disagree."""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any

# Prefect reads its settings when it is imported.
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("PREFECT_LOGGING_SERVER_LEVEL", "ERROR")
# What ends a run is said once, by this program; Prefect's own record of it, with the traceback, is on the run's page.
os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
# On a loaded machine the default of 20 ends a run that only had to wait.
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")

import httpx
from rich.console import Console

from flows.champion import look_for_champion
from flows.command_line import terminal
from flows.command_line.costs import benchmark_sight, costs_table, training_costs
from flows.command_line.results import Outcome, outcome_of, spared_stages
from flows.command_line.terminal import TerminalReporter, gate_table, plan_lines, seconds_in_words, verdict_table
from flows.command_line.validating import foreseen, show_foresight
from flows.compare import compare as compare_flow
from flows.compare import without_training
from flows.finetune import finetune
from flows.inputs.config_file import read_config
from flows.inputs.servers import require_servers
from flows.mending import retry_when_broken
from schemas.config import RunConfig
from schemas.errors import MachineLacks, TuneworthyError
from tasks.reuse.current_store import current_store
from tasks.reuse.keys import changed_ingredients, digest_of, flatten
from tasks.reuse.planning import Plan, planning
from tasks.reuse.progress import current_reporter
from tasks.reuse.stage import changes_in_words


def run(arguments: argparse.Namespace) -> int:
    """Find the verdict of a config; stages that the store can answer are not run again."""
    return decide_with(arguments, read_config(arguments.config, arguments.set), finetune)


def compare(arguments: argparse.Namespace) -> int:
    """Measure the untrained arms of a config."""
    return decide_with(arguments, without_training(read_config(arguments.config, arguments.set)), compare_flow)


def plan(arguments: argparse.Namespace) -> int:
    """Say what a run would do and why."""
    config = read_config(arguments.config, arguments.set)
    found = planned(config, finetune)
    require_servers(found)
    spared, costs, sight = spared_stages(found), training_costs(config, found), benchmark_sight(config, found)
    gain = foreseen(config, found.artifacts.get("validate_data"))
    differences = _differences(found, planned(read_config(arguments.against), finetune)) if arguments.against else None
    if arguments.json:
        answer = {"stages": [vars(stage) for stage in found.stages], "spared": spared, "is_all_hits": found.is_all_hits}
        answer |= {"training": costs.as_json()} if costs else {}
        answer |= {"foresight": gain.as_json()} if gain else {}
        answer |= {"benchmark": sight} if sight else {}
        print(json.dumps(answer if differences is None else {**answer, "against": differences}))
        return 0
    console = Console(soft_wrap=True, highlight=False)
    for line in plan_lines(found, spared):
        console.print(line)
    console.print(_summary(found))
    if not found.is_all_hits:
        console.print(_written(config), markup=False)
    show_foresight(console, gain)
    if sight:
        console.print(f"{sight}.", markup=False)
    if costs:
        console.print(costs_table(costs) if costs.lines else f"what training takes: {costs.stands_on}.")
    for label, difference in (differences or {}).items():
        console.print(f"against {arguments.against}: {label:<26} {difference}", markup=False)
    return 0


def _differences(found: Plan, other: Plan) -> dict[str, str]:
    """Return label -> how the stage's key differs from the other config's; pending stages have no key to compare."""
    shared = [label for label in found.ingredients if label in other.ingredients]
    changes = {label: changed_ingredients(other.ingredients[label], found.ingredients[label]) for label in shared}
    return {label: changes_in_words(change, most=5) if change else "same" for label, change in changes.items()}


def planned(config: RunConfig, flow: Any, *more: Any) -> Plan:
    """Return what the flow's body would do; `more` is what it takes besides the config."""
    with planning() as found:
        flow.fn(config, *more)
    return found


@retry_when_broken
def decide_with(arguments: argparse.Namespace, config: RunConfig, flow: Any) -> int:
    """Run a flow that ends in a verdict, or answer from the store, and show the outcome."""
    started = time.monotonic()
    before = planned(config, flow)
    failure = None
    if not before.is_all_hits:
        with one_at_a_time(config, flow):
            before = planned(config, flow)  # another process may have done the work meanwhile
            require_servers(before)
            failure = None if before.is_all_hits else run_flow(flow, config)
    outcome = outcome_of(before if before.is_all_hits else planned(config, flow))
    if outcome is None:
        raise failure or TuneworthyError(
            "The inputs changed during the run (a file, or which version is champion). Every finished stage is in the "
            "store: run the same command again."
        )
    look = look_for_champion(config)
    champion = look.champion.version if look and look.champion else None
    _show(outcome, arguments, before.is_all_hits, time.monotonic() - started, failure, champion)
    if failure is not None:
        print(f"tuneworthy: {failure}", file=sys.stderr)
        return failure.exit_code
    return 4 if outcome.verdict.is_refused_by_gate and not outcome.verdict.is_sufficient else 0


def one_at_a_time(config: RunConfig, flow: Any) -> AbstractContextManager[None]:
    """Let one process at a time run this config: the others wait, and then answer from the store."""

    def waiting(owner: str) -> None:
        print(f"{config.name}: waiting for {owner}, which runs it", file=sys.stderr)

    return current_store().holding(f"{flow.name}-{digest_of(dict(flatten('config', config)))[:40]}", waiting)


def run_flow(flow: Callable[..., object], config: RunConfig, *more: Any) -> TuneworthyError | None:
    """Run the flow; an error of ours is returned, so that a verdict reached before it is still shown."""
    token = current_reporter.set(TerminalReporter(_stderr()))
    detach_server()
    try:
        flow(config, *more)
    except TuneworthyError as error:
        return error
    except httpx.TransportError as fault:
        return MachineLacks(
            f"The Prefect server stopped answering ({fault}). Finished stages are kept: check that it is running, and "
            "run again to continue."
        )
    finally:
        current_reporter.reset(token)
    return None


def detach_server() -> None:
    """Give the server that Prefect starts for a run a session of its own: Ctrl-C and SIGTERM to our process group would
    end it before us, and the run would wait for it for a minute.
    """
    if os.environ.get("PREFECT_API_URL"):
        return
    from prefect.server.api import server

    detached = functools.partial(subprocess.Popen, start_new_session=True)
    vars(server)["subprocess"] = SimpleNamespace(**{**vars(subprocess), "Popen": detached})


def _show(
    outcome: Outcome,
    arguments: argparse.Namespace,
    is_all_hits: bool,
    seconds: float,
    failure: TuneworthyError | None,
    champion: str | None,
) -> None:
    if arguments.json:
        failed = {"error": type(failure).__name__, "message": str(failure)} if failure else {}
        print(json.dumps(outcome.as_json(is_all_hits) | failed))
        return
    console = Console(highlight=False)
    console.print()
    for table in (verdict_table(outcome.verdict, outcome.seconds_a_row), gate_table(outcome.verdict)):
        if table is not None:
            console.print(table)
    console.print(outcome.verdict.headline, style="bold")
    found = outcome.verdict
    for line in [*terminal.advice_lines(found), *terminal.endpoint_lines(found), *terminal.champion_lines(found)]:
        console.print(line, markup=False)
    console.print(outcome.registration(champion))
    console.print(f"report: {outcome.report}", soft_wrap=True)
    console.print(f"report on the rows: {outcome.data_report}", soft_wrap=True)
    when = f"nothing new since the run of {outcome.sealed}; answered from the store" if is_all_hits else "done"
    console.print(f"{when} in {seconds_in_words(seconds)}", style="dim")


def _written(config: RunConfig) -> str:
    """Return what a run will write, and where."""
    store = current_store()
    registry = os.environ.get("MLFLOW_TRACKING_URI") or "the store's mlflow.db"
    if "://" in registry:  # no password is shown
        registry = registry.partition("://")[0] + "://" + registry.partition("://")[2].rpartition("@")[2]
    version = f"; a version of {config.registry.model}, if the adapter earns it" if config.arms.trained else ""
    experiment = f"a run of experiment {config.name} to {registry}"
    return f"will be written: artifacts and records to {store.address}; {experiment}{version}."


def _summary(found: Plan) -> str:
    running = [stage for stage in found.stages if stage.outlook == "will run"]
    waiting = [stage for stage in found.stages if stage.outlook == "depends"]
    hits = len(found.stages) - len(running) - len(waiting)
    known = sum(stage.seconds or 0 for stage in running)
    estimate = f", at least {seconds_in_words(known)} according to past runs here" if known else ""
    return f"{hits} from the store, {len(running)} will run, {len(waiting)} depend on them{estimate}."


def _stderr() -> Console:
    return Console(file=sys.stderr, highlight=False, soft_wrap=True)
