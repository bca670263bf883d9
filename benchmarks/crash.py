"""Does training survive SIGKILL? Kill it at random moments, resume, and compare the adapter's digest with that of an
undisturbed run.

    python benchmarks/crash.py --kills 50

A trial is the training stage itself on a tiny seeded model (dropout on, so that random states count; a checkpoint
several times a second), in a process of its own that is forked from one which has torch loaded, with a store of its
own. It is killed up to three times, each at a moment drawn from the length of an undisturbed run, so going on is killed
as well; then it runs to its end. Only kills that met a living process count. A trial holds when the sealed adapter has
the digest of the undisturbed run and the store is whole. Prints one table: where the kills fell, and what held.
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
from collections import Counter
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
from flows.inputs.config_file import read_config
from flows.inputs.sources import locate
from schemas.artifacts import AdapterArtifact
from schemas.config import RunConfig
from tasks.base.task import fetch_base
from tasks.data.task import check_rendering, validate_data
from tasks.reuse.store import ArtifactStore
from tasks.reuse.upkeep import verify
from tasks.training.task import train_adapter
from tests.flows.conftest import small_config, write_rows
from tests.tiny_model import write_tiny_model

MOST_KILLS_A_TRIAL = 3
TRAINING = {
    "method": "lora",
    "rank": 4,
    "epochs": 8,
    "patience": 99,
    "tokens_per_step": 128,
    "learning_rate": 0.01,
    "dropout": 0.1,
    "validation": 0.2,
}
CHECKPOINT_SECONDS = 0.2
Fit = Callable[[], AdapterArtifact]


def digest_after(fit: Fit, store: Path) -> str | None:
    """Run to the end and return the sealed adapter's digest; None when it does not get there or the store is not
    whole.
    """
    if not ended_well(forked(fit, store)):
        print(f"did not end: {said(store)}", file=sys.stderr)
        return None
    os.environ["TUNEWORTHY_STORE"] = str(store)
    sealed = fit()  # answered from the store
    return None if verify(ArtifactStore(store)).broken else sealed.digest


def kill_once(fit: Fit, store: Path, moment: float) -> str | None:
    """Kill a run `moment` seconds after its start and return where that fell; None when the run was over by then."""
    pid = forked(fit, store)
    time.sleep(moment)
    os.kill(pid, signal.SIGKILL)
    return fell(store) if os.WIFSIGNALED(os.waitpid(pid, 0)[1]) else None


def fell(store: Path) -> str:
    """Return what a killed run was doing, by the files that it left."""
    workdirs = list((store / "work").glob("train_adapter-*"))
    if any((workdir / "out").is_dir() and any((workdir / "out").iterdir()) for workdir in workdirs):
        return "while the adapter was sealed"
    if any((workdir / "aside").is_dir() and any((workdir / "aside").iterdir()) for workdir in workdirs):
        return "while a checkpoint was written"
    return (
        "between checkpoints"
        if any(any(workdir.glob("checkpoints/step-*")) for workdir in workdirs)
        else "before the first checkpoint"
    )


def trials(
    fit: Fit, template: Path, wanted: str, seconds: float, count: int, folder: Path
) -> dict[str, tuple[int, int]]:
    """Kill `count` living runs; return place -> (kills that fell there and held, kills that fell there)."""
    chance, held, fallen = random.Random(1), Counter[str](), Counter[str]()
    while (kills := fallen.total()) < count:
        store = shutil.copytree(template, folder / f"trial {kills}")
        most = min(chance.randint(1, MOST_KILLS_A_TRIAL), count - kills)
        places = [place for place in (kill_once(fit, store, chance.uniform(0, seconds)) for _ in range(most)) if place]
        fallen.update(places)
        if digest_after(fit, store) == wanted:
            held.update(places)
        elif places:
            print(f"did not hold: {store} ({', '.join(places)})", file=sys.stderr)
        shutil.rmtree(store)
        print(f"{held.total()} of {fallen.total()} kills held", file=sys.stderr, flush=True)
    return {place: (held[place], fallen[place]) for place in sorted(fallen)}


def prepare(folder: Path) -> tuple[RunConfig, Path]:
    """Write model, rows and config, and make a store that holds everything the training stage reads; load what every
    fork needs.
    """
    import peft  # noqa: F401 - loaded once, before the forks

    make_ready()
    (folder / "model").mkdir()
    write_tiny_model(folder / "model")
    write_rows(folder / "rows.jsonl")
    settings = small_config(folder / "model") | {"training": TRAINING | {"checkpoint_minutes": CHECKPOINT_SECONDS / 60}}
    (folder / "small.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    (folder / "template").mkdir()
    return read_config(folder / "small.yaml"), folder / "template"


def fit_of(config: RunConfig) -> Fit:
    """Return the training stage with the artifacts of the stages before it."""
    sources = locate(config)
    data, base = validate_data(config.task, config.data, config.seed, sources.data), fetch_base(sources.base)
    rendering = check_rendering(config.task, base, data, config.training.max_length)
    return lambda: train_adapter(config.training, rendering, base, data, config.seed)


def prepared_fit(config: RunConfig, template: Path) -> Fit:
    """Return the training stage after the ones before it have run in the template's store: in a fork, as no fork
    outlives polars' threads.
    """
    if not ended_well(forked(lambda: fit_of(config), template)):
        raise RuntimeError("the stages before training failed")
    os.environ["TUNEWORTHY_STORE"] = str(template)
    return fit_of(config)


def main() -> int:
    """Run the trials and print the table; 1 when a kill lost something."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    kills = parser.parse_args().kills
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config, template = prepare(folder)
        fit = prepared_fit(config, template)
        undisturbed = shutil.copytree(template, folder / "undisturbed")
        started = time.monotonic()
        wanted = digest_after(fit, undisturbed)
        seconds = time.monotonic() - started
        if wanted is None:
            raise RuntimeError("the undisturbed run failed")
        outcome = trials(fit, template, wanted, seconds, kills, folder)
    good = sum(held for held, _ in outcome.values())
    print(
        f"{processor()}; undisturbed run {seconds:.1f} s, adapter "
        f"{wanted[:12]}\n\n{'kill -9 fell':<34}{'kills':>7}{'held':>7}"
    )
    for place, (held, fallen) in [*outcome.items(), ("all", (good, kills))]:
        print(f"{place:<34}{fallen:>7}{held:>7}")
    return 0 if good == kills else 1


if __name__ == "__main__":
    sys.exit(main())
