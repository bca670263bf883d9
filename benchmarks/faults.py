"""Can a run be broken? Kill it at random moments, or damage its store, then run again and compare every digest with an
undisturbed run's.

    python benchmarks/faults.py --kills 200 --damages 100 --training-kills 50

A trial is the whole main path on a tiny seeded model (or, for --training-kills, the training stage alone: dropout on,
so that random states count, a checkpoint several times a second, up to three kills in a row), in a process of its own
that is forked from one which has torch loaded, with a store of its own. Only kills that met a living process count. A
trial holds when the run after the fault ends with the digests of the undisturbed run, and every artifact of its store
is whole. Prints one table.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.update(GOMP_SPINCOUNT="2000", PREFECT_SERVER_ANALYTICS_ENABLED="false", OMP_NUM_THREADS="1")
os.environ.update(HF_HUB_OFFLINE="1", TQDM_DISABLE="1")
warnings.filterwarnings("ignore")
# ruff: noqa: E402 - the environment above is read when these are imported

import lm_eval  # noqa: F401 - loaded once, before the forks, as the next three are
import matplotlib  # noqa: F401
import mlflow
import peft  # noqa: F401
import torch
import yaml
from tqdm import tqdm

from benchmarks.machine import processor
from flows.finetune import finetune
from flows.inputs.config_file import read_config
from flows.inputs.sources import locate
from schemas.artifacts import AdapterArtifact
from schemas.config import RunConfig
from tasks.base.task import fetch_base
from tasks.data.task import check_rendering, validate_data
from tasks.reuse.planning import planning
from tasks.reuse.store import ArtifactStore
from tasks.reuse.upkeep import verify
from tasks.training.task import train_adapter
from tests.flows.conftest import small_config, write_rows
from tests.tiny_model import write_tiny_model

# An MLflow run's id is drawn anew in each store, so what these two seal differs by design.
DRAWN = ("track_verdict", "register_adapter")
DAMAGES = ("truncated", "emptied", "one bit flipped", "deleted")
LONGER = {"epochs": 8, "patience": 99, "tokens_per_step": 128, "dropout": 0.1, "validation": 0.2}
CHECKPOINTS = {"checkpoint_minutes": 0.2 / 60}
Held = dict[str, tuple[int, int]]  # fault -> (trials that held, trials)


@dataclass(frozen=True)
class Subject:
    """What is disturbed.

    Attributes:
        work: runs to the end in the store that TUNEWORTHY_STORE names.
        digests: of what the work sealed there, by stage; None where it has not all been sealed.
        template: a store with what the work reads.
    """

    work: Callable[[], object]
    digests: Callable[[], dict[str, str] | None]
    template: Path


def forked(work: Callable[[], object], store: Path) -> int:
    """Start work on a store in a forked process, its output and the error that ends it in the store's log."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    with store.with_name(f"{store.name}.log").open("a", encoding="utf-8") as log:
        try:
            os.environ["TUNEWORTHY_STORE"] = str(store)
            torch.set_num_threads(1)  # sets up torch's thread pool again, of which a fork has no thread
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            work()
            code = 0
        except BaseException:  # noqa: BLE001 - whatever it was, the trial reports it
            traceback.print_exc(file=log)
    os._exit(code)


def finished(work: Callable[[], object], store: Path) -> bool:
    """Work in a fork to the end and return whether it got there."""
    return os.waitstatus_to_exitcode(os.waitpid(forked(work, store), 0)[1]) == 0


def holds(subject: Subject, store: Path, wanted: dict[str, str]) -> bool:
    """Run once more and tell whether all is as if nothing had happened; say what is not."""
    problem = what_differs(subject, store, wanted)
    if problem:
        print(f"did not hold: {store}: {problem}", file=sys.stderr, flush=True)
    return not problem


def what_differs(subject: Subject, store: Path, wanted: dict[str, str]) -> str:
    """Return in words what differs from the undisturbed run; empty when nothing does."""
    if not finished(subject.work, store):
        return "the run after it failed: " + store.with_name(f"{store.name}.log").read_text(encoding="utf-8")[-2000:]
    os.environ["TUNEWORTHY_STORE"] = str(store)
    found = subject.digests()
    if found is None:
        return "the run after it left something to do"
    if found != wanted:
        return f"other digests: {', '.join(label for label in wanted if found.get(label) != wanted[label])}"
    broken = verify(ArtifactStore(store)).broken
    return f"broken artifacts: {', '.join(broken)}" if broken else ""


def undisturbed(subject: Subject, folder: Path) -> tuple[Path, dict[str, str], float]:
    """Run once to the end; return the store, its digests and the seconds that it took."""
    store = shutil.copytree(subject.template, folder / "undisturbed")
    started = time.monotonic()
    is_done, seconds = finished(subject.work, store), time.monotonic() - started
    os.environ["TUNEWORTHY_STORE"] = str(store)
    wanted = subject.digests() if is_done else None
    if wanted is None:
        raise RuntimeError(f"the undisturbed run failed, or is not all hits afterwards; see {store}.log")
    return store, wanted, seconds


def kill_trials(subject: Subject, count: int, in_a_row: int, folder: Path) -> Held:
    """Kill `count` living runs at moments drawn from an undisturbed one's length, at most `in_a_row` in one trial."""
    folder.mkdir()
    _, wanted, seconds = undisturbed(subject, folder)
    chance, held, fallen = random.Random(1), Counter[str](), Counter[str]()
    while (kills := fallen.total()) < count:
        store = shutil.copytree(subject.template, folder / f"after {kills} kills {chance.random()}")
        most = min(chance.randint(1, in_a_row), count - kills)
        places = [place for place in (kill(subject, store, chance.uniform(0, seconds)) for _ in range(most)) if place]
        fallen.update(places)
        if holds(subject, store, wanted):
            held.update(places)
            shutil.rmtree(store)
        print(f"kill -9: {held.total()} of {fallen.total()} held", file=sys.stderr, flush=True)
    return {f"kill -9 {place}": (held[place], fallen[place]) for place in sorted(fallen)}


def kill(subject: Subject, store: Path, moment: float) -> str:
    """Kill a run `moment` seconds after its start; return where that fell, empty where it had ended by then."""
    pid = forked(subject.work, store)
    time.sleep(moment)
    os.kill(pid, signal.SIGKILL)
    return fell(store) if os.WIFSIGNALED(os.waitpid(pid, 0)[1]) else ""


def fell(store: Path) -> str:
    """Return what a killed run was doing, by the files that it left."""
    workdirs = list((store / "work").glob("train_adapter-*"))
    if not workdirs:
        return "outside training"
    if any(any(workdir.glob("out/*")) for workdir in workdirs):
        return "while the adapter was sealed"
    if any(any(workdir.glob("aside/*")) for workdir in workdirs):
        return "while a checkpoint was written"
    has_one = any(any(workdir.glob("checkpoints/step-*")) for workdir in workdirs)
    return "between checkpoints" if has_one else "before the first checkpoint"


def damage_trials(subject: Subject, count: int, folder: Path) -> Held:
    """Damage one file of a finished store at a time, every file in turn."""
    folder.mkdir()
    whole, wanted, _ = undisturbed(subject, folder)
    chance, outcome = random.Random(2), {f"one file {damage}": (0, 0) for damage in DAMAGES}
    files = [path for path in sorted(whole.rglob("*")) if path.is_file() and "mlflow.db" not in path.name]
    cases = [(path.relative_to(whole), damage) for path in files for damage in DAMAGES]
    chance.shuffle(cases)
    for trial, (path, damage) in enumerate(cases[:count]):
        store = shutil.copytree(whole, folder / f"{trial} {damage} {path.name}")
        spoil(store / path, damage, chance)
        is_held = holds(subject, store, wanted)
        held, trials = outcome[f"one file {damage}"]
        outcome[f"one file {damage}"] = (held + is_held, trials + 1)
        shutil.rmtree(store)
        print(f"damage: {trial + 1} of {min(count, len(cases))}, {path}", file=sys.stderr, flush=True)
    return outcome


def spoil(path: Path, damage: str, chance: random.Random) -> None:
    """Damage a file at a random place."""
    text = bytearray(path.read_bytes() or b"\0")
    place = chance.randrange(len(text))
    if damage == "deleted":
        path.unlink()
    elif damage == "one bit flipped":
        text[place] ^= 1 << chance.randrange(8)
        path.write_bytes(text)
    else:
        path.write_bytes(text[:place] if damage == "truncated" else b"")


def prepared(folder: Path, **training: Any) -> tuple[RunConfig, Path]:
    """Write a config with its model and rows; return it, and a store whose MLflow tables exist already."""
    model, template = folder / "model", folder / "template"
    model.mkdir(parents=True)
    template.mkdir()
    write_tiny_model(model)
    write_rows(folder / "rows.jsonl")
    settings = small_config(model)
    settings["training"] |= training
    (folder / "small.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    mlflow.MlflowClient(f"sqlite:///{template / 'mlflow.db'}").search_experiments()
    return read_config(folder / "small.yaml"), template


def main_path(folder: Path) -> Subject:
    """Return the whole flow as a subject; it runs without a Prefect server, straight on the store."""
    config, template = prepared(folder)

    def digests() -> dict[str, str] | None:
        with planning() as plan:
            finetune.fn(config)
        sealed = {label: found.digest for label, found in plan.artifacts.items() if label not in DRAWN}
        return sealed if plan.is_all_hits else None

    return Subject(lambda: finetune.fn(config), digests, template)


def training_alone(folder: Path) -> Subject:
    """Return the training stage as a subject; what precedes it ran in a fork, as no fork outlives polars' threads."""
    config, template = prepared(folder, **LONGER, **CHECKPOINTS)

    def fit() -> Callable[[], AdapterArtifact]:
        sources = locate(config)
        data, base = validate_data(config.task, config.data, config.seed, sources.data), fetch_base(sources.base)
        rendering = check_rendering(config.task, base, data, config.training.max_length)
        return lambda: train_adapter(config.training, rendering, base, data, config.seed)

    if not finished(fit, template):
        raise RuntimeError(f"the stages before training failed; see {template}.log")
    os.environ["TUNEWORTHY_STORE"] = str(template)
    work = fit()
    return Subject(work, lambda: {"train_adapter": work().digest}, template)


def trials(options: argparse.Namespace, folder: Path) -> Iterator[Held]:
    """Yield what held, kind of trial by kind."""
    if options.kills or options.damages:
        subject = main_path(folder / "main path")
        yield kill_trials(subject, options.kills, 1, folder / "kills")
        yield damage_trials(subject, options.damages, folder / "damages")
    if options.training_kills:
        yield kill_trials(training_alone(folder / "training"), options.training_kills, 3, folder / "training kills")


def main() -> int:
    """Run the trials and print the table; 1 when a trial did not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, count in (("--kills", 200), ("--damages", 100), ("--training-kills", 50)):
        parser.add_argument(option, type=int, default=count)
    # One thread of torch; no lock of tqdm's shared with children, where one that is killed would keep it; no garbage
    # collection of what is loaded.
    torch.set_num_threads(1)
    tqdm.set_lock(threading.RLock())
    gc.freeze()
    print(f"{processor()}\n\n{'fault':<44} {'held':>6} {'trials':>7}")
    is_good = True
    with tempfile.TemporaryDirectory() as name:
        for outcome in trials(parser.parse_args(), Path(name)):
            for fault, (held, count) in outcome.items():
                is_good &= held == count
                print(f"{fault:<44} {held:>6} {count:>7}", flush=True)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
