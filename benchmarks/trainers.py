"""The trainers that training.py compares: each from the same rows in the same steps to the same figures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.reuse.progress import Reporter

if TYPE_CHECKING:
    from schemas.sections.training import TrainingConfig
    from tasks.training.rows import TokenRow
    from tasks.training.step.packing import TrainingDataset

SEED = 7
# Settings of the engine's own that every trainer gets.
SAME = (
    "output_dir", "seed", "use_cpu", "num_train_epochs", "optim", "weight_decay", "max_grad_norm", "learning_rate",
    "lr_scheduler_type", "warmup_steps", "save_strategy", "eval_strategy", "logging_strategy", "report_to",
    "disable_tqdm", "dataloader_pin_memory",
)  # fmt: skip


@dataclass
class Contest:
    """What every trainer gets; dtype is the number format of products, rows those of all steps in their order."""

    base: Path
    training: TrainingConfig
    dtype: Any
    rows: Sequence[TokenRow]
    held_out: Sequence[TokenRow]
    rows_per_step: int
    folder: Path


@dataclass
class Figures:
    """Loss and row tokens of each step, the time at its end, and the mean loss of held-out answer tokens afterwards."""

    losses: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    held_out: float = 0.0

    @property
    def rate(self) -> float:
        """Row tokens a second over all steps but the first, which also warms up."""
        return sum(self.tokens[1:]) / (self.ends[-1] - self.ends[0])


class Timed(Reporter):
    """Notes when each step ends."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def advance(self, done: float, total: float, note: str = "") -> None:
        """Note the time."""
        self.ends.append(time.perf_counter())


def with_engine(contest: Contest) -> Figures:
    """Train with this project's engine, just as the training stage does."""
    from tasks.inference.precision import Precision
    from tasks.reuse.stage import WorkDirectory
    from tasks.reuse.store import ArtifactStore
    from tasks.training.fitting import train
    from tasks.training.running.checkpoints import read_state

    timed = Timed()
    workdir = WorkDirectory(contest.folder, ArtifactStore(contest.folder / "store"), timed)
    precision = Precision("cpu", contest.dtype, "as the benchmark's line says")
    checkpoint = train(contest.training, contest.base, dataset_of(contest), SEED, workdir, precision)
    log = read_state(checkpoint)["log_history"]
    steps = [entry for entry in log if "loss" in entry]
    held_out = next((entry["validation_loss"] for entry in log if "validation_loss" in entry), 0.0)
    return Figures([entry["loss"] for entry in steps], [entry["tokens"] for entry in steps], timed.ends, held_out)


def dataset_of(contest: Contest) -> TrainingDataset:
    """Return the rows as one epoch of steps in their order, validated at its end."""
    from tasks.training.rows import common_prefix
    from tasks.training.step.packing import Step, TrainingDataset

    size, count = contest.rows_per_step, len(contest.rows)
    steps = [
        Step(0, tuple(range(start, start + size)), (start + size) / count, is_epoch_end=start + size == count)
        for start in range(0, count, size)
    ]
    prefix = common_prefix([*contest.rows, *contest.held_out])
    return TrainingDataset(contest.rows, contest.held_out, steps, prefix, patience=9)


def usual_model(contest: Contest) -> Any:
    """Return the base with peft's adapters and nothing of this project's."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    training = contest.training
    nf4 = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}
    four_bits = BitsAndBytesConfig(**nf4, bnb_4bit_compute_dtype=contest.dtype)
    quantised = {"quantization_config": four_bits} if training.method == "qlora" else {}
    model = AutoModelForCausalLM.from_pretrained(
        contest.base, dtype=contest.dtype, device_map={"": "cpu"}, use_safetensors=True, **quantised
    )
    model.config.use_cache = False
    torch.manual_seed(SEED)
    lora = {"r": training.rank, "lora_alpha": 2 * training.rank, "target_modules": "all-linear"}
    return get_peft_model(model, LoraConfig(**lora, task_type="CAUSAL_LM"))


def noting(trainer: type[Any], figures: Figures) -> type[Any]:
    """Return the trainer with its steps in the order of the rows; it notes each step's loss, tokens and end."""
    from torch.utils.data import SequentialSampler
    from transformers import TrainerCallback

    class Ends(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            """Note the time."""
            figures.ends.append(time.perf_counter())

    class Noting(trainer):
        """Notes losses and tokens."""

        def __init__(self, **places: Any) -> None:
            super().__init__(callbacks=[Ends()], **places)

        def _get_train_sampler(self, *_: Any, **__: Any) -> Any:
            return SequentialSampler(self.train_dataset)

        def training_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
            """Compute a step as the trainer does."""
            mask = inputs.get("attention_mask")
            figures.tokens.append(int(inputs["input_ids"].numel() if mask is None else mask.sum()))
            loss = super().training_step(model, inputs, *args, **kwargs)
            figures.losses.append(loss.item())
            return loss

    return Noting


def with_usual(kind: str, contest: Contest) -> Figures:
    """Train with transformers' Trainer ("plain"), or with trl's, padded, padding-free or packing."""
    from datasets import Dataset
    from transformers import AutoTokenizer, set_seed

    from tasks.training.running.decisions import Decisions
    from tasks.training.running.trainer import arguments

    set_seed(SEED)
    figures, steps = Figures(), len(contest.rows) // contest.rows_per_step
    lines = [
        {"input_ids": row.prompt_ids + row.answer_ids, "labels": [-100] * len(row.prompt_ids) + row.answer_ids}
        for row in contest.rows
    ]
    decisions = Decisions("cpu", "fp32", 0)  # fp32: without autocast, as the models are loaded in their number format
    ours = arguments(contest.folder, contest.training, decisions, steps, SEED).to_dict()
    chosen = {name: value for name, value in ours.items() if name in SAME}
    chosen["per_device_train_batch_size"] = contest.rows_per_step
    tokenizer = AutoTokenizer.from_pretrained(contest.base)
    places = {"model": usual_model(contest), "train_dataset": Dataset.from_list(lines), "processing_class": tokenizer}
    made = _plain(places, chosen, figures) if kind == "plain" else _trl(kind, places, chosen, figures, contest)
    made.train()
    figures.held_out = mean_loss(made.model, contest.held_out)
    return figures


def _plain(places: dict[str, Any], chosen: dict[str, Any], figures: Figures) -> Any:
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    return noting(Trainer, figures)(
        args=TrainingArguments(**chosen), data_collator=DataCollatorForSeq2Seq(places["processing_class"]), **places
    )


def _trl(kind: str, places: dict[str, Any], chosen: dict[str, Any], figures: Figures, contest: Contest) -> Any:
    import torch
    from trl import SFTConfig, SFTTrainer

    usual = {"bf16": contest.dtype == torch.bfloat16, "gradient_checkpointing": False, "max_length": None}
    if kind == "trl-padding-free":
        usual["padding_free"] = True
    if kind == "trl-packing":  # a step is one pack, as long as the others' longest step
        size, tokens = contest.rows_per_step, [row.tokens for row in contest.rows]
        longest = max(sum(tokens[start : start + size]) for start in range(0, len(tokens), size))
        usual |= {"packing": True, "max_length": longest, "per_device_train_batch_size": 1}
    return noting(SFTTrainer, figures)(args=SFTConfig(**(chosen | usual)), **places)


def mean_loss(model: Any, rows: Sequence[TokenRow]) -> float:
    """Return the mean loss of the rows' answer tokens, a row at a time, by the model's own logits."""
    import torch

    model.eval()
    total = 0.0
    with torch.no_grad():
        for row in rows:
            ids, start = torch.tensor([row.prompt_ids + row.answer_ids]), len(row.prompt_ids) - 1
            logits = model(input_ids=ids).logits[0, start:-1].float()
            total += torch.nn.functional.cross_entropy(logits, ids[0, start + 1 :], reduction="sum").item()
    return total / sum(len(row.answer_ids) for row in rows)
