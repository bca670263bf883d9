"""Can a run be broken? Kill it at random moments and damage its store, then run again and compare every digest with an
undisturbed run's.

    python benchmarks/faults.py --kills 200 --damages 100

A trial is the whole main path on a tiny seeded model, in a process of its own that is forked from one which has torch
loaded, with a store of its own. A trial holds when the run after the fault ends with the digests of the undisturbed
run, and every artifact of its store is whole. Prints one table.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.update(
    HF_HUB_OFFLINE="1",
    GOMP_SPINCOUNT="2000",
    PREFECT_SERVER_ANALYTICS_ENABLED="false",
    OMP_NUM_THREADS="1",
    TQDM_DISABLE="1",
)
warnings.filterwarnings("ignore")
# ruff: noqa: E402 - the environment above is read when these are imported

import yaml

from benchmarks.forks import ended_well, forked, make_ready, said
from benchmarks.machine import processor
from flows.finetune import finetune
from flows.inputs.config_file import read_config
from schemas.config import RunConfig
from tasks.reuse.planning import planning
from tasks.reuse.store import ArtifactStore
from tasks.reuse.upkeep import verify
from tests.flows.conftest import small_config, write_rows
from tests.tiny_model import write_tiny_model

# An MLflow run's id is drawn anew in each store, so what these two seal differs by design.
DRAWN = ("track_verdict", "register_adapter")
Damage = Callable[[Path, random.Random], None]


def truncate(path: Path, chance: random.Random) -> None:
    """Cut a file at a random place."""
    os.truncate(path, chance.randrange(max(1, path.stat().st_size)))


def empty(path: Path, chance: random.Random) -> None:
    """Leave nothing of a file's bytes."""
    path.write_bytes(b"")


def flip(path: Path, chance: random.Random) -> None:
    """Flip one bit."""
    text = bytearray(path.read_bytes() or b"\0")
    text[chance.randrange(len(text))] ^= 1 << chance.randrange(8)
    path.write_bytes(bytes(text))


def delete(path: Path, chance: random.Random) -> None:
    """Remove a file."""
    path.unlink()


DAMAGES: tuple[Damage, ...] = (truncate, empty, flip, delete)


def forked_run(config: RunConfig, store: Path) -> int:
    """Start the whole main path in a forked process and return its pid; it runs without a Prefect server, straight on
    the store.
    """
    return forked(lambda: finetune.fn(config), store)


def finish(config: RunConfig, store: Path) -> bool:
    """Run to the end and tell whether it got there."""
    return ended_well(forked_run(config, store))


def digests(config: RunConfig, store: Path) -> dict[str, str] | None:
    """Return stage -> digest of a finished run, or None when it is not all hits."""
    os.environ["TUNEWORTHY_STORE"] = str(store)
    with planning() as plan:
        finetune.fn(config)
    if not plan.is_all_hits:
        return None
    return {label: found.digest for label, found in plan.artifacts.items() if label not in DRAWN}


def holds(config: RunConfig, store: Path, wanted: dict[str, str]) -> bool:
    """Run once more and tell whether all is as if nothing had happened; say what is not."""
    problem = what_differs(config, store, wanted)
    if problem:
        tell(f"did not hold: {problem}")
    return not problem


def what_differs(config: RunConfig, store: Path, wanted: dict[str, str]) -> str:
    """Return in words what differs from the undisturbed run; empty when nothing does."""
    if not finish(config, store):
        return f"the run after it failed: {said(store)}"
    found = digests(config, store)
    if found is None:
        return "the run after it left something to do"
    if found != wanted:
        return f"other digests: {', '.join(label for label in wanted if found.get(label) != wanted[label])}"
    broken = verify(ArtifactStore(store)).broken
    return f"broken artifacts: {', '.join(broken)}" if broken else ""


def kill_trials(
    config: RunConfig, template: Path, wanted: dict[str, str], seconds: float, count: int, folder: Path
) -> tuple[int, int]:
    """Kill a run at a random moment, `count` times; return (trials that held, runs that were alive when killed)."""
    chance, held, alive = random.Random(1), 0, 0
    for trial in range(count):
        store = shutil.copytree(template, folder / f"kill {trial}")
        pid = forked_run(config, store)
        time.sleep(chance.uniform(0, seconds))
        os.kill(pid, signal.SIGKILL)
        alive += os.WIFSIGNALED(os.waitpid(pid, 0)[1])
        is_held = holds(config, store, wanted)
        held += is_held
        if is_held:
            shutil.rmtree(store)
        tell(f"kill -9: {held} of {trial + 1} held, {alive} were alive")
    return held, alive


def damage_trials(
    config: RunConfig, finished: Path, wanted: dict[str, str], count: int, folder: Path
) -> dict[str, tuple[int, int]]:
    """Damage one file of a finished store at a time, every file in turn; return damage -> (trials that held,
    trials).
    """
    chance = random.Random(2)
    files = sorted(
        path.relative_to(finished) for path in finished.rglob("*") if path.is_file() and "mlflow.db" not in path.name
    )
    cases = [(path, damage) for path in files for damage in DAMAGES]
    chance.shuffle(cases)
    outcome = {damage.__name__: (0, 0) for damage in DAMAGES}
    for trial, (path, damage) in enumerate(cases[:count]):
        store = shutil.copytree(finished, folder / f"damage {trial}")
        damage(store / path, chance)
        is_held = holds(config, store, wanted)
        held, trials = outcome[damage.__name__]
        outcome[damage.__name__] = (held + is_held, trials + 1)
        if not is_held:
            tell(f"that was: {damage.__name__} {path}")
        shutil.rmtree(store)
        tell(f"damage: {trial + 1} of {min(count, len(cases))}, {sum(held for held, _ in outcome.values())} held")
    return outcome


def tell(line: str) -> None:
    """Show how far it is."""
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    """Run the trials and print the table; 1 when a trial did not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--damages", type=int, default=100)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config, template = prepare(folder)
        finished = shutil.copytree(template, folder / "finished")
        started = time.monotonic()
        if not finish(config, finished):
            raise RuntimeError("the undisturbed run failed")
        seconds = time.monotonic() - started
        wanted = digests(config, finished)
        if wanted is None:
            raise RuntimeError("the undisturbed run is not all hits afterwards")
        tell(f"undisturbed: {seconds:.1f} s, {len(wanted)} stages")
        held, alive = kill_trials(config, template, wanted, seconds, arguments.kills, folder)
        damaged = damage_trials(config, finished, wanted, arguments.damages, folder)
    rows = [
        ("kill -9 at a random moment", held, arguments.kills),
        *((f"one file: {name}", *counts) for name, counts in damaged.items()),
    ]
    print(f"{processor()}, undisturbed run {seconds:.1f} s, {alive} of {arguments.kills} killed runs were alive\n")
    print(f"{'fault':<30} {'held':>6} {'trials':>7}")
    for fault, good, trials in rows:
        print(f"{fault:<30} {good:>6} {trials:>7}")
    return 0 if all(good == trials for _, good, trials in rows) else 1


def prepare(folder: Path) -> tuple[RunConfig, Path]:
    """Write the model, rows and config, load what every run loads, and make a store whose MLflow tables exist
    already.
    """
    import lm_eval
    import matplotlib
    import mlflow
    import peft
    import torch

    model = folder / "model"
    model.mkdir()
    write_tiny_model(model)
    write_rows(folder / "rows.jsonl")
    (folder / "small.yaml").write_text(yaml.safe_dump(small_config(model)), encoding="utf-8")
    template = folder / "template"
    template.mkdir()
    mlflow.MlflowClient(f"sqlite:///{template / 'mlflow.db'}").search_experiments()
    make_ready()
    tell(f"loaded {', '.join(library.__name__ for library in (lm_eval, matplotlib, mlflow, peft, torch))}")
    return read_config(folder / "small.yaml"), template


if __name__ == "__main__":
    sys.exit(main())
