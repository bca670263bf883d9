"""Fit one adapter: rows in, best and last weights out, going on from a checkpoint where there is one."""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel as Facts

from schemas.errors import TrainingStopped
from tasks.inference.precision import Precision
from tasks.reuse.memory import keep_freed
from tasks.reuse.progress import Reporter
from tasks.training.adapters.methods import OPTIMIZERS, load_model
from tasks.training.adapters.principal import START, keep_start, subtract_start
from tasks.training.adapters.sealing import count_parameters, seal_weights, write_json
from tasks.training.adapters.starts import start_from_output_error
from tasks.training.rows import common_prefix, read_rows, refuse_foreign_tokenizer, refuse_long_rows, split_validation
from tasks.training.running.decisions import DECISIONS, Decisions, decide, remember_capacity
from tasks.training.running.devices import Job, refuse_too_many, train_on
from tasks.training.running.origin import origin_of, refuse_other_origin
from tasks.training.running.pace import Pace
from tasks.training.running.probing import confirmed_capacity
from tasks.training.running.remembering import note_limit, size_key
from tasks.training.running.resuming import newest_whole, read_state, step_folder
from tasks.training.running.stopping import Stop, stoppable
from tasks.training.running.trainer import PackedTrainer, arguments, is_out_of_patience
from tasks.training.step.checking import check_packing
from tasks.training.step.loss import answering
from tasks.training.step.packing import TrainingDataset, plan_steps

if TYPE_CHECKING:
    from schemas.training_config import TrainingConfig
    from tasks.reuse.stage import WorkDirectory


@dataclass(frozen=True)
class BaseModel:
    """The base: its sealed folder, and the name and revision by which an adapter refers to it."""

    folder: Path
    name: str
    revision: str | None


class Fitted(Facts):
    """What came out; the fields of AdapterArtifact that training knows."""

    parameters: int
    steps: int
    train_tokens: int
    train_loss: float
    validation_loss: float | None
    seconds: float


def fit_adapter(
    training: TrainingConfig,
    instruction: str,
    base: BaseModel,
    rows: Path,
    seed: int,
    workdir: WorkDirectory,
    precision: Precision | None = None,
) -> Fitted:
    """Fit one adapter on a train.parquet and write best/, last/, log.jsonl and facts.json into `workdir.out`;
    `workdir.folder` keeps checkpoints.

    Raises:
        DatasetRefused: rows are too long, or cannot be learned; the message names them.
        ConfigRefused: the method or its rank does not fit the base.
        TrainingStopped: the loss is not a number, the process was asked to end (SIGTERM), or the checkpoints are of
            another fit.
    """
    started = time.monotonic()
    refuse_other_origin(workdir, origin_of(training, instruction, base.folder, rows, seed))
    dataset = prepare_dataset(training, instruction, base.folder, rows, seed, workdir.reporter)
    checkpoint = newest_whole(workdir.folder)
    if checkpoint is None or not is_finished(read_state(checkpoint), dataset):
        if training.devices > 1:
            checkpoint = train_together(training, instruction, base.folder, rows, dataset, seed, workdir, precision)
        else:
            checkpoint = train(training, base.folder, dataset, seed, workdir, precision)
    facts = seal(training, base, dataset, checkpoint, workdir)
    return Fitted(**facts, seconds=round(time.monotonic() - started, 1))


def prepare_dataset(
    training: TrainingConfig, instruction: str, base: Path, rows: Path, seed: int, reporter: Reporter
) -> TrainingDataset:
    """Return the rendered rows, split for validation and ordered in steps."""
    from transformers import AutoConfig, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True, trust_remote_code=False)
    config = AutoConfig.from_pretrained(base, local_files_only=True, trust_remote_code=False).get_text_config()
    refuse_foreign_tokenizer(tokenizer, config.vocab_size)
    rendered = read_rows(rows, tokenizer, instruction)
    refuse_long_rows(rendered, training.max_length, getattr(config, "max_position_embeddings", None))
    learned, validation = split_validation(rendered, training.validation, seed)
    if training.validation and not validation:
        reporter.say("validation: off, all train rows are of one group; the last weights are taken as the best")
    steps = plan_steps([row.tokens for row in learned], training.tokens_per_step, training.epochs, seed)
    return TrainingDataset(learned, validation, steps, common_prefix(rendered), training.patience)


def is_finished(state: dict[str, Any], dataset: TrainingDataset) -> bool:
    """Tell whether a saved state is the end of training: the last step, or patience at its end."""
    return bool(state["global_step"] >= len(dataset.steps)) or is_out_of_patience(
        state["log_history"], dataset.patience
    )


def train_together(
    training: TrainingConfig,
    instruction: str,
    base: Path,
    rows: Path,
    dataset: TrainingDataset,
    seed: int,
    workdir: WorkDirectory,
    precision: Precision | None,
) -> Path:
    """Train as `train` does, on several devices at once; return the last checkpoint."""
    decisions = decide(workdir, base, training, dataset, precision)
    refuse_too_many(training.devices, decisions.device)
    workdir.reporter.say(
        f"devices: {training.devices} processes on {decisions.device}, each with its share of every step's rows"
    )
    job = Job(
        training.model_dump(mode="json"),
        instruction,
        str(base),
        str(rows),
        seed,
        str(workdir.folder),
        str(workdir.store.root),
    )
    return _finished(workdir.folder, dataset, train_on(job, training.devices, decisions.device, workdir))


def train(
    training: TrainingConfig,
    base: Path,
    dataset: TrainingDataset,
    seed: int,
    workdir: WorkDirectory,
    precision: Precision | None = None,
    stop: Stop | None = None,
) -> Path:
    """Train from the newest checkpoint, or from the start, to the end; return the last checkpoint."""
    from transformers import set_seed

    decisions = decide(workdir, base, training, dataset, precision)
    keep_freed()
    set_seed(seed)
    model = load_model(base, training, decisions.torch_dtype, decisions.device)
    if training.adapter_kind == "pissa" and os.environ.get("RANK", "0") == "0":
        keep_start(model, workdir.folder)
    has_autocast = training.method == "full" and decisions.dtype == "bf16"
    args = arguments(
        workdir.folder, training.learning_rate, len(dataset.steps), seed, decisions.device == "cpu", has_autocast
    )
    args.optim = OPTIMIZERS[training.optimizer]
    if decisions.checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    checkpoint = newest_whole(workdir.folder)
    with answering(model) as head, contextlib.nullcontext(stop) if stop else stoppable() as asked:
        check_packing(model, head, [*dataset.rows, *dataset.validation])
        capacity = decisions.capacity
        if (
            checkpoint is None and training.devices == 1
        ):  # processes that found different sizes would wait for each other for ever
            capacity = confirmed_capacity(model, head, dataset, capacity, has_autocast, workdir.reporter.say)
            remember_capacity(workdir.folder, capacity)
        if checkpoint is None and training.adapter_kind == "qera":
            share = start_from_output_error(model, head, dataset, capacity, base)
            workdir.reporter.say(
                f"start: the adapters make up for {share:.0%} of the squared error that 4 bits make in a layer's "
                "outputs on the first rows"
            )
        if checkpoint:
            workdir.reporter.say(
                f"goes on after step {read_state(checkpoint)['global_step']} of {len(dataset.steps)}, from its "
                "checkpoint"
            )
        set_seed(seed)
        pace = Pace(dataset, training.checkpoint_minutes, workdir.reporter, asked)
        trainer = PackedTrainer(model, args, dataset, capacity, head, workdir.folder, pace)
        try:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        finally:
            if training.devices == 1:
                _note_smaller(workdir, base, training, dataset, decisions)
    return _finished(workdir.folder, dataset, asked.is_asked)


def _note_smaller(
    workdir: WorkDirectory, base: Path, training: TrainingConfig, dataset: TrainingDataset, decisions: Decisions
) -> None:
    """Remember for later fits of this kind that memory ran out with the packs that were decided on."""
    capacity = json.loads((workdir.folder / DECISIONS).read_text(encoding="utf-8"))["capacity"]
    if capacity < decisions.capacity:
        longest = max(row.tokens for row in [*dataset.rows, *dataset.validation])
        note_limit(workdir.store, size_key(base, training, longest, decisions.device), capacity)


def _finished(folder: Path, dataset: TrainingDataset, is_asked: bool) -> Path:
    """Return the last checkpoint of a fit that is at its end; one that is not stopped on the way, which is said."""
    last = newest_whole(folder)
    if last is not None and is_finished(read_state(last), dataset):
        return last
    if last is None or not is_asked:
        raise TrainingStopped(
            f"Training ended, but its last checkpoint in {folder} is not whole. Run again: it goes on from the one "
            "before."
        )
    step = read_state(last)["global_step"]
    raise TrainingStopped(
        f"Asked to end (SIGTERM): training stopped after step {step} of {len(dataset.steps)} and saved it. The same "
        "command goes on there."
    )


def seal(
    training: TrainingConfig, base: BaseModel, dataset: TrainingDataset, checkpoint: Path, workdir: WorkDirectory
) -> dict[str, Any]:
    """Write what is sealed and return the facts that the artifact carries."""
    state = read_state(checkpoint)
    best_step = state["best_global_step"] or state["global_step"]
    best = workdir.folder / step_folder("best", best_step) if state["best_global_step"] else checkpoint
    for source, name in ((best, "best"), (checkpoint, "last")):
        seal_weights(source, workdir.out / name, base.folder, base.name, base.revision)
        if training.adapter_kind == "pissa":
            subtract_start(workdir.folder / START, workdir.out / name)
    log = state["log_history"]
    (workdir.out / "log.jsonl").write_text(
        "".join(json.dumps(entry, sort_keys=True) + "\n" for entry in log), encoding="utf-8"
    )
    facts = _facts(log, dataset, count_parameters(workdir.out / "last" if training.method == "full" else checkpoint))
    decisions = json.loads((workdir.folder / DECISIONS).read_text(encoding="utf-8"))
    chosen = {
        "method": training.method,
        "adapter": None if training.method == "full" else training.adapter_kind,
        "rank": None if training.method == "full" else training.rank,
        "dtype": decisions["dtype"],
        "best_step": best_step,
        "best_epoch": dataset.steps[best_step - 1].done,
        "rows": len(dataset.rows),
        "validation_rows": len(dataset.validation),
        "shared_prefix": dataset.prefix,
    }
    write_json(workdir.out / "facts.json", facts | chosen)
    return facts


def _facts(log: list[dict[str, Any]], dataset: TrainingDataset, parameters: int) -> dict[str, Any]:
    steps = [entry for entry in log if "loss" in entry]
    losses = [entry["validation_loss"] for entry in log if "validation_loss" in entry]
    last_epoch = [
        entry["loss"]
        for entry in steps
        if dataset.steps[entry["step"] - 1].epoch == dataset.steps[steps[-1]["step"] - 1].epoch
    ]
    return {
        "parameters": parameters, "steps": len(steps), "train_tokens": sum(entry["tokens"] for entry in steps),
        "train_loss": round(sum(last_epoch) / len(last_epoch), 6), "validation_loss": min(losses) if losses else None,
    }  # fmt: skip
