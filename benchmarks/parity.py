"""Does a 4-bit base cost anything in the end? ``python benchmarks/parity.py [--seeds 1 2] [--folder F] [--only NAME
...]``.

Fits GeoQuery, with the settings of configs/geoquery.yaml but 8 rows a step, for each seed with LoRA on a 16-bit base
and with QLoRA on the 4-bit one, whose adapters start as peft starts them or from what quantising took from the outputs
(qera). A fit learns all train rows and is measured on the held-out templates after each epoch, by one process on one
thread: about ten minutes of a processor each with the 135M model. Equal seeds have equal orders and, but for qera,
equal starts. With --folder fits and losses are kept, so that more seeds can be added and a killed benchmark resumes.

Prints one table: the held-out loss after each epoch, and at the end of a line how far the last one is from LoRA's of
the same seed; below, the means over seeds with the standard error of that distance.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.update(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1")
warnings.filterwarnings("ignore")
# ruff: noqa: E402 - the environment above is read when these are imported

from benchmarks.machine import in_a_process, processor
from flows.inputs.config_file import read_config
from schemas.config import RunConfig
from tasks.reuse.store import ArtifactStore

ARMS = {"lora": ("lora", "lora"), "qlora": ("qlora", "lora"), "qlora+qera": ("qlora", "qera")}
TOKENS_PER_STEP = 2560  # 8 rows and their shared prompt
Losses = dict[tuple[str, int], list[float]]  # arm and seed -> held-out loss after each epoch


def config_of(folder: Path) -> RunConfig:
    """Return GeoQuery's config with its rows in this folder."""
    source = folder / "source"
    places = [f"data.source={source}/geoquery.jsonl", f"task.answer.database={source}/geography.sqlite"]
    return read_config(ROOT / "configs" / "geoquery.yaml", places)


def prepare(folder: Path) -> None:
    """Write the base, and GeoQuery's rows as the data room splits them, into the folder."""
    from flows.inputs.sources import locate_data
    from tasks.base.conversion import convert_base
    from tasks.base.sources import locate_base
    from tasks.data.task import validate_data
    from tests.real.geoquery import convert

    if (folder / "rows.txt").exists():
        return
    convert(folder / "source")
    config, store = config_of(folder), ArtifactStore(folder / "store")
    os.environ["TUNEWORTHY_STORE"] = str(folder / "store")
    data = validate_data(config.task, config.data, config.seed, locate_data(config, store))
    (folder / "base").mkdir(exist_ok=True)
    convert_base(locate_base(config.base, Path(), store), folder / "base")
    (folder / "rows.txt").write_text(str(store.open(data.digest)), encoding="utf-8")


def fit(arm: str, seed: int, folder: Path) -> list[float]:
    """Fit one arm with one seed in this process and return its held-out loss after each epoch."""
    import torch
    from transformers import AutoTokenizer

    from tasks.inference.precision import best_precision
    from tasks.reuse.progress import Reporter
    from tasks.reuse.stage import WorkDirectory
    from tasks.training.fitting import train
    from tasks.training.rows import common_prefix, read_rows
    from tasks.training.running.checkpoints import read_state
    from tasks.training.step.packing import TrainingDataset, plan_steps

    torch.set_num_threads(1)
    config, (method, adapter) = config_of(folder), ARMS[arm]
    changed = {"method": method, "adapter": adapter, "tokens_per_step": TOKENS_PER_STEP}
    training = config.training.model_copy(update=changed)
    base, sealed = folder / "base", Path((folder / "rows.txt").read_text(encoding="utf-8"))
    tokenizer, told = AutoTokenizer.from_pretrained(base), config.task.instruction
    rows, held_out = (read_rows(sealed / f"{name}.parquet", tokenizer, told) for name in ("train", "held_out"))
    steps = plan_steps([row.tokens for row in rows], training.tokens_per_step, training.epochs, seed)
    dataset = TrainingDataset(rows, held_out, steps, common_prefix([*rows, *held_out]), patience=99)
    workdir = WorkDirectory(folder / "fits" / f"{arm}-{seed}", ArtifactStore(folder / "store"), Reporter())
    workdir.folder.mkdir(parents=True, exist_ok=True)
    checkpoint = train(training, base, dataset, seed, workdir, best_precision())
    return [entry["validation_loss"] for entry in read_state(checkpoint)["log_history"] if "validation_loss" in entry]


def kept(arm: str, seed: int, folder: Path) -> list[float]:
    """Return the losses of a fit, made in a process of its own where they are not kept yet."""
    path = folder / f"{arm}-{seed}.json"
    if not path.exists():
        path.write_text(json.dumps(in_a_process(fit, arm, seed, folder)), encoding="utf-8")
    losses: list[float] = json.loads(path.read_text(encoding="utf-8"))
    print(f"{arm}, seed {seed}: {losses[-1]:.4f}", file=sys.stderr, flush=True)
    return losses


def table(losses: Losses, arms: list[str], seeds: list[int]) -> Iterator[str]:
    """Yield the lines of the table, and the means."""
    epochs = range(len(next(iter(losses.values()))))
    yield f"{'arm':12}{'seed':>5}" + "".join(f"{f'epoch {epoch + 1}':>10}" for epoch in epochs) + f"{'to LoRA':>9}"
    apart = {(arm, seed): found[-1] / losses["lora", seed][-1] - 1 for (arm, seed), found in losses.items()}
    for seed in seeds:
        for arm in arms:
            shown = "".join(f"{loss:>10.4f}" for loss in losses[arm, seed])
            yield f"{arm:12}{seed:>5}{shown}{apart[arm, seed]:>9.1%}"
    for arm in arms:
        means = (statistics.mean(losses[arm, seed][epoch] for seed in seeds) for epoch in epochs)
        distances = [apart[arm, seed] for seed in seeds]
        error = f" +- {statistics.stdev(distances) / len(seeds) ** 0.5:.1%}" if len(seeds) > 1 else ""
        shown = "".join(f"{mean:>10.4f}" for mean in means)
        yield f"{arm:12}{'mean':>5}{shown}{statistics.mean(distances):>9.1%}{error}"


def main() -> None:
    """Make the fits that are not kept, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--folder", type=Path, help="where fits are kept; a temporary folder when left out")
    parser.add_argument("--only", nargs="+", choices=list(ARMS), default=list(ARMS), help="arms to compare with LoRA")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = (options.folder or Path(name)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        prepare(folder)
        arms = list(dict.fromkeys(["lora", *options.only]))
        print(f"{processor()}, one thread a fit", flush=True)
        losses = {(arm, seed): kept(arm, seed, folder) for seed in options.seeds for arm in arms}
        print("\n".join(table(losses, arms, options.seeds)))


if __name__ == "__main__":
    main()
