"""What do files and configs that nobody meant do? No traceback, no hang, no row lost, an exit code of the table.

    python benchmarks/fuzz.py --files 10000 --configs 10000 --seed 1 --minutes 8

Files grow from the golden ones of tests/data/layouts in every kind of file, broken in one to four places; configs from
configs/demo.yaml. A file goes through the data stage; a config is read by the code of every command, and not planned.
Prints the counts, and each finding with the seed that makes it again: `--only files:4711`.
"""

# The environment is read when polars is imported.
# ruff: noqa: E402
from __future__ import annotations

import argparse
import collections
import contextlib
import gzip
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.update(HF_HUB_OFFLINE="1", PREFECT_SERVER_ANALYTICS_ENABLED="false", POLARS_MAX_THREADS="1")

import polars as pl
import yaml

from flows.inputs.config_file import _known_settings, read_config
from schemas.config import RunConfig
from schemas.errors import TuneworthyError
from tasks.data.locating import locate_data
from tasks.data.task import validate_data
from tasks.reuse.progress import Reporter
from tasks.reuse.stage import WorkDirectory
from tasks.reuse.store import ArtifactStore

HANG = 10  # seconds
CODES = {1, 2, 3, 4, 5}
VALUES: list[Any] = [None, True, False, 0, -1, 1e308, float("nan"), "", " ", "a\x00", "\u200b", "\ud800", [], {}, [[]]]
VALUES += ["x" * 5000, 2**70, {"a": None}, ["a", 1], "<think>a", "{{name}}", "user", "assistant", "rows.jsonl", "env:X"]
PIECES = [
    b"",
    b"\n",
    b"\r",
    b'"',
    b",",
    b";",
    b"\t",
    b"{",
    b"}",
    b"[",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\x00",
    b"\\",
    b"'",
    b"|",
]
Trial = Callable[[random.Random, Path], str]


class Hung(BaseException):
    """A trial that takes longer than HANG seconds."""


def records_of(path: Path) -> list[Any]:
    """Return what the lines of a golden file hold, a dozen times over; sentences differ by a number, as rows do."""
    found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [numbered(one, n) for n, one in enumerate(found * (12 // len(found) + 1))]


def numbered(value: Any, number: int) -> Any:
    """Return a value whose sentences end with a number."""
    if isinstance(value, dict):
        return {key: numbered(one, number) for key, one in value.items()}
    if isinstance(value, list):
        return [numbered(one, number) for one in value]
    return f"{value} {number * 7919} {chr(97 + number) * 9}" if isinstance(value, str) and " " in value else value


def written(records: list[Any], kind: str) -> bytes:
    """Return records as a file of a kind; as JSON lines where they do not fit into it."""
    lines = b"".join(json.dumps(one).encode() + b"\n" for one in records)
    stream = io.BytesIO()
    with contextlib.suppress(Exception):
        if kind in (".csv", ".tsv"):
            flat = [
                {key: one if isinstance(one, str) else json.dumps(one) for key, one in row.items()} for row in records
            ]
            return pl.DataFrame(flat).write_csv(separator="," if kind == ".csv" else "\t").encode()
        if kind == ".parquet":
            pl.DataFrame(records).write_parquet(stream)
            return stream.getvalue()
        if kind == ".json":
            return json.dumps(records).encode()
    return gzip.compress(lines) if kind.endswith(".gz") else lines


def twisted(chance: random.Random, value: Any) -> Any:
    """Return a value with one place changed: another value, another name, or one of its parts."""
    if isinstance(value, dict) and value and chance.random() < 0.8:
        key = chance.choice(list(value))
        if chance.random() < 0.3:
            return {
                (chance.choice(["prompt", "text", "", "label", "tools", key.upper()]) if k == key else k): v
                for k, v in value.items()
            }
        return {**value, key: twisted(chance, value[key])}
    if isinstance(value, list) and value and chance.random() < 0.8:
        place = chance.randrange(len(value))
        return [twisted(chance, one) if at == place else one for at, one in enumerate(value)]
    return chance.choice(VALUES)


def try_file(chance: random.Random, folder: Path) -> str:
    """Check one broken file; return what became of it."""
    golden = chance.choice(sorted((ROOT / "tests/data/layouts/golden").rglob("*.jsonl")))
    records = records_of(golden)
    for _ in range(chance.randrange(4)):
        records = twisted(chance, records) if chance.random() < 0.7 else records * chance.choice([0, 2])
        records = records if isinstance(records, list) else [records]
    kind = chance.choice([".jsonl", ".json", ".csv", ".tsv", ".parquet", ".jsonl.gz", ".xlsx", ".ndjson"])
    content = bytearray(written(records, kind))
    for _ in range(chance.choice([0, 0, 1, 4])):
        place = chance.randint(0, len(content))
        content[place : place + chance.choice([0, 1, 30, 10_000])] = chance.choice(PIECES)
    name = f"rows{chance.choice([kind, kind, kind, '.csv', '.jsonl'])}"
    (folder / name).write_bytes(bytes(content))
    asked = chance.choice(
        [{}, {}, {"group": "group"}, {"layout": "messages"}, {"prompt": "prompt"}, {"separator": ";"}]
    )
    config = RunConfig.model_validate(
        {"name": "fuzz", "folder": str(folder), "base": {"model": "m"}, "registry": {"model": "m"},
         "task": {"instruction": "Answer."}, "data": {"source": name, "refuse_above": 1, "held_out": 0.5, **asked}}
    )  # fmt: skip
    store = ArtifactStore(folder / "store")
    (folder / "work" / "out").mkdir(parents=True)
    workdir = WorkDirectory(folder / "work", store, Reporter())
    validate_data.function(config.task, config.data, 1, locate_data(config, store), workdir=workdir)
    parts = [
        pl.read_parquet(workdir.out / f"{part}.parquet")["row_id"].to_list()
        for part in ("train", "held_out", "refused")
    ]
    read = json.loads((workdir.out / "report.json").read_text(encoding="utf-8"))["rows"]["read"]
    every = [row for part in parts for row in part]
    if not len(every) == len(set(every)) == read:
        raise AssertionError(f"{read} rows read, {list(map(len, parts))} kept and refused")
    return "kept"


def try_config(chance: random.Random, folder: Path) -> str:
    """Read one broken config; return what became of it."""
    tree = yaml.safe_load((ROOT / "configs/demo.yaml").read_text(encoding="utf-8"))
    for _ in range(chance.randint(1, 3)):
        *parents, last = chance.choice(_known_settings(RunConfig)).split(".")
        place = tree
        for parent in parents:
            place = place.setdefault(parent, {}) if isinstance(place, dict) else {}
        if isinstance(place, dict):
            place[last] = chance.choice(VALUES)
    with contextlib.suppress(yaml.YAMLError):
        text = yaml.safe_dump(tree, allow_unicode=chance.random() < 0.5)
        content = bytearray(text.encode("utf-8", "surrogatepass"))
        for _ in range(chance.choice([0, 0, 0, 1, 3])):
            at = chance.randint(0, len(content))
            content[at : at + chance.choice([0, 1, 20])] = chance.choice(PIECES)
        (folder / "c.yaml").write_bytes(bytes(content))
    settings = [f"{chance.choice(_known_settings(RunConfig))}={chance.choice(VALUES)}"] if chance.random() < 0.3 else []
    read_config(folder / "c.yaml", settings)
    return "read"


def outcome(trial: Trial, seed: str, folder: Path) -> tuple[str, str | None]:
    """Return how a trial ended, and its traceback where it is a finding."""

    def ring(number: int, frame: object) -> None:
        raise Hung(f"longer than {HANG} s")

    signal.signal(signal.SIGALRM, ring)
    signal.alarm(HANG)
    try:
        return trial(random.Random(seed), folder), None
    except TuneworthyError as refused:
        is_sound = refused.exit_code in CODES and str(refused).strip()
        return f"exit {refused.exit_code}", None if is_sound else repr(refused)
    except BaseException as fault:
        if isinstance(fault, KeyboardInterrupt):
            raise
        return "finding", "".join(traceback.format_exception(fault)[-4:])
    finally:
        signal.alarm(0)


def trials(name: str, count: int, seed: int, until: float) -> Iterator[tuple[str, str, str | None]]:
    """Yield (seed, how it ended, finding) of each trial, until the time is over."""
    for number in range(count):
        if time.process_time() > until:
            return
        folder = Path(tempfile.mkdtemp())
        own = f"{seed}-{name}-{number}"
        try:
            yield own, *outcome({"files": try_file, "configs": try_config}[name], own, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Print how the trials ended and return 1 where there is a finding."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--configs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=8, help="of processor time, for each of both")
    asked = parser.parse_args()
    found = 0
    with contextlib.suppress(TuneworthyError), tempfile.TemporaryDirectory() as folder:
        try_file(random.Random(0), Path(folder))  # libraries are loaded before the clock counts
    for name in ("configs", "files"):
        ends: collections.Counter[str] = collections.Counter()
        started = time.process_time()
        for seed, end, finding in trials(name, getattr(asked, name), asked.seed, started + 60 * asked.minutes):
            ends[end] += 1
            if finding:
                found += 1
                print(f"{seed}: {finding}", flush=True)
        took = time.process_time() - started
        print(f"{name}: {ends.total()} tried in {took:.0f} s: {dict(ends.most_common())}", flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
