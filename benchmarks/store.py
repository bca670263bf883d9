"""What reuse costs: ``python benchmarks/store.py [--rows N] [--artifacts N] [--megabytes N]`` prints one table.

keys and look-ups     every stage of a sealed run on the tiny model, its source a file of N rows that was digested
                      before
plan beside many      the same, and the whole command, with N more artifacts and records in the store
seal and open         an artifact of N megabytes, against copying the same file and taking its sha256 (the best of
                      three, interleaved)
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.update(HF_HUB_OFFLINE="1", PREFECT_SERVER_ANALYTICS_ENABLED="false")
# ruff: noqa: E402 - the environment above is read when these are imported

import yaml

from benchmarks.machine import processor
from flows.finetune import finetune
from flows.inputs.config_file import read_config
from schemas.artifacts import ReportArtifact
from tasks.reuse.current_store import current_store
from tasks.reuse.keys import digest_of
from tasks.reuse.planning import Plan, planning
from tasks.reuse.store import ArtifactStore, sha256_of
from tests.flows.conftest import small_config
from tests.tiny_model import write_tiny_model


def best(work: Callable[[], object], times: int = 3) -> float:
    """Return the seconds of the quickest of several tries."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return min(taken)


def write_config(folder: Path, rows: int) -> Path:
    """Write the tiny model, a source of many rows and a config that measures few of them."""
    (folder / "model").mkdir()
    write_tiny_model(folder / "model")
    colours = ("red", "green", "blue", "black", "white")
    with (folder / "rows.jsonl").open("w", encoding="utf-8") as out:
        for number in range(rows):
            colour = colours[number % 5]
            row = {"prompt": f"Number {number} is painted {colour}", "completion": colour, "group": f"g{number % 20}"}
            out.write(json.dumps(row) + "\n")
    settings = small_config(folder / "model")
    settings["arms"] |= {"trained": [], "limit": 20}
    settings["data"] |= {"checks": {"near_duplicate": "note", "near_held_out": "note"}}
    path = folder / "many.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


def planned(path: Path) -> Plan:
    """Plan a config in this process."""
    with planning() as plan:
        finetune.fn(read_config(path))
    return plan


def fill(store: ArtifactStore, count: int) -> None:
    """Put artifacts and their records into the store, each of one small file."""
    for number in range(count):
        workdir = store.folder("filling")
        (workdir / "number.txt").write_text(str(number), encoding="utf-8")
        digest = store.seal("report", workdir)
        artifact = ReportArtifact(digest=digest, headline="").model_dump(mode="json")
        record = {"label": "filler", "run": "filler", "ingredients": {"number": number}, "artifact": artifact}
        store.write_record("filler", digest_of(number)[:40], record | {"seconds": 0.0, "sealed_at": time.time()})


def command(path: Path) -> None:
    """Run `tuneworthy plan` as a process."""
    words = [sys.executable, "-m", "flows.command_line.main", "plan", str(path)]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)


def large(folder: Path, megabytes: int) -> tuple[float, float]:
    """Return the seconds to seal and open an artifact of this size, and to copy its file and take its sha256."""
    source = folder / "large.bin"
    with source.open("wb") as out:
        for _ in range(megabytes):
            out.write(os.urandom(1 << 20))
    ours, plain = [], []
    for number in range(3):
        store = ArtifactStore(folder / f"large {number}")
        workdir = store.folder("work", "large")
        ours.append(best(lambda store=store, workdir=workdir: sealed(store, workdir, source), 1))  # type: ignore[misc]
        plain.append(best(lambda: copied(source, folder / "copy.bin"), 1))
        shutil.rmtree(store.root)
        (folder / "copy.bin").unlink()
    return min(ours), min(plain)


def sealed(store: ArtifactStore, workdir: Path, source: Path) -> None:
    """Write a large file to a workdir as a stage would, seal it, look it up as a hit does, and open it."""
    shutil.copyfile(source, workdir / "weights.bin")
    digest = store.seal("model", workdir)
    if not store.is_whole(digest):
        raise RuntimeError("what was sealed is not whole")


def copied(source: Path, target: Path) -> None:
    """Copy a file and take its sha256."""
    shutil.copyfile(source, target)
    sha256_of(target)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--artifacts", type=int, default=100_000)
    parser.add_argument("--megabytes", type=int, default=1024)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["TUNEWORTHY_STORE"] = str(folder / "store")
        path = write_config(folder, arguments.rows)
        finetune.fn(read_config(path))
        plan = planned(path)
        if not plan.is_all_hits:
            raise RuntimeError(f"not all hits: {plan.stages}")
        what = f"keys and look-ups, {len(plan.stages)} stages, source of {arguments.rows} rows"
        rows = [(what, best(lambda: planned(path))), ("tuneworthy plan", best(lambda: command(path)))]
        fill(current_store(), arguments.artifacts)
        rows += [
            (f"keys and look-ups beside {arguments.artifacts} artifacts", best(lambda: planned(path))),
            (f"tuneworthy plan beside {arguments.artifacts} artifacts", best(lambda: command(path))),
        ]
        ours, plain = large(folder, arguments.megabytes)
    size = f"{arguments.megabytes} MB"
    rows += [(f"{size}: write, seal, look up", ours), (f"{size}: copy and sha256", plain)]
    print(f"{processor()}, {os.cpu_count()} cores\n")
    print(f"{'what':<64} {'seconds':>9}")
    for what, seconds in rows:
        print(f"{what:<64} {seconds:>9.3f}")
    print(f"{'ratio of the last two':<64} {ours / plain:>9.2f}")


if __name__ == "__main__":
    main()
