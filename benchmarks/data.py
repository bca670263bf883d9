"""The data room at size: ``python benchmarks/data.py [--rows 1000000 2000000 4000000]`` prints one table of seconds,
memory, recall and precision.

Rows are synthetic: 60 words out of 20,000, one in fifty a near-duplicate of an earlier one with one or two words
changed, one in a hundred an exact repeat. Everything is made in a temporary folder (TMPDIR), each number of rows in a
process of its own; the last line tells how many bytes of memory each more row takes. "CPU s" counts all threads, and no
other work on the machine. "digest" is how fast a source is digested that changed, beside "read" for reading it and
nothing else; "unchanged" is what a source costs that did not: a stat and a look-up.

``--datasketch`` measures that library's signatures and index on 50,000 of the same rows, beside this project's own on
the same 50,000 in the same process (``pip install datasketch``).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import polars as pl

from benchmarks.machine import in_a_process, processor
from schemas.config import RunConfig
from tasks.data.locating import locate_data
from tasks.data.overlap.near_duplicates import banding, near_pairs
from tasks.data.task import validate_data
from tasks.reuse.progress import Reporter
from tasks.reuse.stage import WorkDirectory
from tasks.reuse.store import ArtifactStore

T = TypeVar("T")

VOCABULARY = [f"w{number}" for number in range(20_000)]
LENGTH = 60
COMPARED = 50_000
Planted = dict[int, int]  # near-duplicate's row -> the row that it is like


def make_rows(path: Path, count: int, seed: int = 7) -> tuple[Planted, int]:
    """Write rows of JSON and return the near-duplicates planted among them, and the number of exact repeats."""
    draw = random.Random(seed)
    planted: Planted = {}
    repeats = 0
    kept: list[list[str]] = []  # early rows that later ones are made like
    with path.open("w", encoding="utf-8") as out:
        for row_id in range(1, count + 1):
            words = draw.choices(VOCABULARY, k=LENGTH)
            if len(kept) < 1000:
                kept.append(words)
            elif row_id % 100 == 50:
                words, repeats = kept[draw.randrange(1000)], repeats + 1
            elif row_id % 50 == 0:
                source = draw.randrange(1000)
                planted[row_id] = source + 1
                words = list(kept[source])
                for _ in range(draw.choice([1, 2])):
                    words[draw.randrange(LENGTH)] = draw.choice(VOCABULARY)
            prompt = " ".join(words)
            out.write(json.dumps({"prompt": prompt, "completion": prompt[-40:]}) + "\n")
    return planted, repeats


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """Return what the work gives and the seconds that it took."""
    started = time.monotonic()
    return work(), time.monotonic() - started


class Stages(Reporter):
    """Prints what the stage says, with the seconds since the start."""

    def __init__(self) -> None:
        self.started = time.monotonic()

    def say(self, line: str) -> None:
        """Print a line."""
        print(f"  {time.monotonic() - self.started:6.1f} s  {line}", file=sys.stderr, flush=True)


def whole_stage(count: int) -> dict[str, float]:
    """Make rows, run the stage's function on them, and return what was measured."""
    with tempfile.TemporaryDirectory() as name:
        return measured_in(Path(name), count)


def measured_in(folder: Path, count: int) -> dict[str, float]:
    """Do the same in this folder."""
    planted, repeats = make_rows(folder / "rows.jsonl", count)
    store = ArtifactStore(folder / "store")
    sections = {"data": {"source": "rows.jsonl"}, "base": {"model": "m"}, "registry": {"model": "m"}}
    settings = {"name": "benchmark", "folder": str(folder), "task": {"instruction": "x"}, **sections}
    config = RunConfig.model_validate(settings)
    sources, digesting = timed(lambda: locate_data(config, store))
    _, again = timed(lambda: locate_data(config, store))
    _, reading = timed(lambda: read_through(folder / "rows.jsonl"))
    store.folder("work", "b", "out")
    workdir, before = WorkDirectory(store.folder("work", "b"), store, Stages()), peak_gigabytes()
    started, run = time.process_time(), validate_data.function
    data, seconds = timed(lambda: run(config.task, config.data, config.seed, sources, workdir=workdir))
    cpu, peak = time.process_time() - started, peak_gigabytes()
    notes = pl.read_parquet(workdir.out / "notes.parquet", columns=["reason", "row_id"])
    found = set(notes.filter(pl.col("reason").is_in(["near_duplicate", "near_held_out"]))["row_id"])
    # A planted row may be told by its twin where the two stand on different sides of the split: both count as planted.
    known = set(planted) | set(planted.values())
    megabytes = (folder / "rows.jsonl").stat().st_size / 1e6
    return {
        "rows": count,
        "MB": megabytes,
        "seconds": seconds,
        "CPU s": cpu,
        "GB before": before,
        "GB peak": peak,
        "digest MB/s": megabytes / digesting,
        "read MB/s": megabytes / reading,
        "unchanged ms": again * 1000,
        "repeats found": data.reasons.get("exact_duplicate", 0) / max(repeats, 1),
        "recall": sum(row in found or twin in found for row, twin in planted.items()) / max(len(planted), 1),
        "precision": len(found & known) / max(len(found), 1),
    }


def read_through(path: Path) -> None:
    """Read a file and do nothing with it: what a digest cannot be faster than."""
    with path.open("rb", buffering=0) as stream:
        while stream.read(1 << 20):
            pass


def table(counts: list[int]) -> None:
    """Measure each number of rows in a process of its own and print the table, and what each more row takes."""
    measured = [in_a_process(whole_stage, count) for count in counts]
    print("  ".join(f"{name:>{max(len(name), 10)}}" for name in measured[0]))
    for row in measured:
        cells = [
            (name, ",.0f" if number >= 1000 else ",.4f" if number < 10 else ",.1f") for name, number in row.items()
        ]
        print("  ".join(f"{row[name]:>{max(len(name), 10)}{form}}" for name, form in cells))
    for less, more in pairwise(measured):
        memory = (more["GB peak"] - less["GB peak"]) * 1e9 / (more["rows"] - less["rows"])
        on_disk = more["MB"] * 1e6 / more["rows"]
        span = f"from {less['rows']:,.0f} to {more['rows']:,.0f} rows"
        print(f"{span}: {memory:.0f} bytes of memory a row, {on_disk:.0f} on disk")


def peak_gigabytes() -> float:
    """Return this process's peak resident memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def against_datasketch(folder: Path) -> None:
    """Print seconds and recall of both libraries on the same rows at the same threshold."""
    from datasketch import MinHash, MinHashLSH  # type: ignore[import-not-found]

    planted, _ = make_rows(folder / "some.jsonl", COMPARED)
    texts = pl.read_ndjson(folder / "some.jsonl")["prompt"]

    def theirs() -> set[tuple[int, int]]:
        # Its own choice of bands for 0.8 finds about 0.73 of these; with the bands used here both find the same.
        index, pairs = MinHashLSH(num_perm=128, params=banding(0.8)), set()
        for number, text in enumerate(texts):
            words = text.split(" ")
            signature = MinHash(num_perm=128)
            signature.update_batch([" ".join(words[at : at + 3]).encode() for at in range(len(words) - 2)])
            pairs |= {(other, number) for other in index.query(signature)}
            index.insert(number, signature)
        return pairs

    def ours() -> set[tuple[int, int]]:
        return {(first, second) for first, second, _ in near_pairs(texts, 0.8).iter_rows()}

    seconds = {}
    for name, work in (("datasketch", theirs), ("here", ours)):
        before = time.process_time()
        pairs, wall = timed(work)
        # Processor seconds of all threads: other work on the machine does not count.
        seconds[name] = time.process_time() - before
        seen = {row for pair in pairs for row in pair}
        recall = sum(row - 1 in seen for row in planted) / len(planted)
        print(f"{name:<11} {seconds[name]:6.1f} CPU s, {wall:6.1f} s  recall {recall:.4f} of {len(planted)}")
    print(f"ratio {seconds['datasketch'] / seconds['here']:.1f} in CPU seconds")


def main() -> None:
    """Measure what the options name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[1_000_000], metavar="N", help="a line of the table each"
    )
    parser.add_argument("--datasketch", action="store_true", help="compare with datasketch on 50,000 rows instead")
    chosen = parser.parse_args()
    print(f"{processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
    if chosen.datasketch:
        with tempfile.TemporaryDirectory() as made:
            against_datasketch(Path(made))
    else:
        table(chosen.rows)


if __name__ == "__main__":
    main()
