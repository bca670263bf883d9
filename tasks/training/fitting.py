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
from tasks.memory import keep_freed
from tasks.progress import Audience
from tasks.training.checking import check_packing
from tasks.training.decisions import DECISIONS, Decisions, decide, remember_capacity
from tasks.training.loss import answering
from tasks.training.methods import OPTIMIZERS, load_model
from tasks.training.origin import origin_of, refuse_other_origin
from tasks.training.pace import Pace
from tasks.training.packing import Lesson, plan_steps
from tasks.training.principal import START, keep_start, subtract_start
from tasks.training.probing import confirmed_capacity
from tasks.training.remembering import note_limit, size_key
from tasks.training.resuming import newest_whole, read_state, step_folder
from tasks.training.rows import common_prefix, read_rows, refuse_foreign_tokenizer, refuse_long_rows, split_validation
from tasks.training.sealing import count_parameters, seal_weights, write_json
from tasks.training.several import Job, refuse_too_many, train_on
from tasks.training.starting import start_from_output_error
from tasks.training.stopping import Stop, stoppable
from tasks.training.trainer import PackedTrainer, arguments, is_out_of_patience

if TYPE_CHECKING:
    from schemas.config import TrainingConfig
    from tasks.stage import Bench


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


def fit_adapter(training: TrainingConfig, instruction: str, base: BaseModel, rows: Path, seed: int, bench: Bench, precision: Precision | None = None) -> Fitted:
    """Fit one adapter on a train.parquet and write best/, last/, log.jsonl and facts.json into `bench.out`; `bench.folder` keeps checkpoints.

    Raises:
        DatasetRefused: rows are too long, or cannot be learned; the message names them.
        ConfigRefused: the method or its rank does not fit the base.
        TrainingStopped: the loss is not a number, the process was asked to end (SIGTERM), or the checkpoints are of another fit.
    """
    started = time.monotonic()
    refuse_other_origin(bench, origin_of(training, instruction, base.folder, rows, seed))
    lesson = prepare_lesson(training, instruction, base.folder, rows, seed, bench.audience)
    checkpoint = newest_whole(bench.folder)
    if checkpoint is None or not is_finished(read_state(checkpoint), lesson):
        if training.devices > 1:
            checkpoint = train_together(training, instruction, base.folder, rows, lesson, seed, bench, precision)
        else:
            checkpoint = train(training, base.folder, lesson, seed, bench, precision)
    facts = seal(training, base, lesson, checkpoint, bench)
    return Fitted(**facts, seconds=round(time.monotonic() - started, 1))


def prepare_lesson(training: TrainingConfig, instruction: str, base: Path, rows: Path, seed: int, audience: Audience) -> Lesson:
    """Return the rendered rows, split for validation and ordered in steps."""
    from transformers import AutoConfig, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True, trust_remote_code=False)
    config = AutoConfig.from_pretrained(base, local_files_only=True, trust_remote_code=False).get_text_config()
    refuse_foreign_tokenizer(tokenizer, config.vocab_size)
    rendered = read_rows(rows, tokenizer, instruction)
    refuse_long_rows(rendered, training.max_length, getattr(config, "max_position_embeddings", None))
    learned, validation = split_validation(rendered, training.validation, seed)
    if training.validation and not validation:
        audience.say("validation: off, all train rows are of one group; the last weights are taken as the best")
    steps = plan_steps([row.tokens for row in learned], training.tokens_per_step, training.epochs, seed)
    return Lesson(learned, validation, steps, common_prefix(rendered), training.patience)


def is_finished(state: dict[str, Any], lesson: Lesson) -> bool:
    """Tell whether a saved state is the end of training: the last step, or patience at its end."""
    return bool(state["global_step"] >= len(lesson.steps)) or is_out_of_patience(state["log_history"], lesson.patience)


def train_together(
    training: TrainingConfig, instruction: str, base: Path, rows: Path, lesson: Lesson, seed: int, bench: Bench, precision: Precision | None
) -> Path:
    """Train as `train` does, on several devices at once; return the last checkpoint."""
    decisions = decide(bench, base, training, lesson, precision)
    refuse_too_many(training.devices, decisions.device)
    bench.audience.say(f"devices: {training.devices} processes on {decisions.device}, each with its share of every step's rows")
    job = Job(training.model_dump(mode="json"), instruction, str(base), str(rows), seed, str(bench.folder), str(bench.store.root))
    return _finished(bench.folder, lesson, train_on(job, training.devices, decisions.device, bench))


def train(training: TrainingConfig, base: Path, lesson: Lesson, seed: int, bench: Bench, precision: Precision | None = None, stop: Stop | None = None) -> Path:
    """Train from the newest checkpoint, or from the start, to the end; return the last checkpoint."""
    from transformers import set_seed

    decisions = decide(bench, base, training, lesson, precision)
    keep_freed()
    set_seed(seed)
    model = load_model(base, training, decisions.torch_dtype, decisions.device)
    if training.branch == "pissa" and os.environ.get("RANK", "0") == "0":
        keep_start(model, bench.folder)
    has_autocast = training.method == "full" and decisions.dtype == "bf16"
    args = arguments(bench.folder, training.learning_rate, len(lesson.steps), seed, decisions.device == "cpu", has_autocast)
    args.optim = OPTIMIZERS[training.optimizer]
    if decisions.checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False})
    checkpoint = newest_whole(bench.folder)
    with answering(model) as head, contextlib.nullcontext(stop) if stop else stoppable() as asked:
        check_packing(model, head, [*lesson.rows, *lesson.validation])
        capacity = decisions.capacity
        if checkpoint is None and training.devices == 1:  # processes that found different sizes would wait for each other for ever
            capacity = confirmed_capacity(model, head, lesson, capacity, has_autocast, bench.audience.say)
            remember_capacity(bench.folder, capacity)
        if checkpoint is None and training.branch == "qera":
            share = start_from_output_error(model, head, lesson, capacity, base)
            bench.audience.say(f"start: the branches make up for {share:.0%} of the squared error that 4 bits make in a layer's outputs on the first rows")
        if checkpoint:
            bench.audience.say(f"goes on after step {read_state(checkpoint)['global_step']} of {len(lesson.steps)}, from its checkpoint")
        set_seed(seed)
        pace = Pace(lesson, training.checkpoint_minutes, bench.audience, asked)
        trainer = PackedTrainer(model, args, lesson, capacity, head, bench.folder, pace)
        try:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        finally:
            if training.devices == 1:
                _note_smaller(bench, base, training, lesson, decisions)
    return _finished(bench.folder, lesson, asked.is_asked)


def _note_smaller(bench: Bench, base: Path, training: TrainingConfig, lesson: Lesson, decisions: Decisions) -> None:
    """Remember for later fits of this kind that memory ran out with the packs that were decided on."""
    capacity = json.loads((bench.folder / DECISIONS).read_text(encoding="utf-8"))["capacity"]
    if capacity < decisions.capacity:
        longest = max(row.tokens for row in [*lesson.rows, *lesson.validation])
        note_limit(bench.store, size_key(base, training, longest, decisions.device), capacity)


def _finished(folder: Path, lesson: Lesson, is_asked: bool) -> Path:
    """Return the last checkpoint of a fit that is at its end; one that is not stopped on the way, which is said."""
    last = newest_whole(folder)
    if last is not None and is_finished(read_state(last), lesson):
        return last
    if last is None or not is_asked:
        raise TrainingStopped(f"Training ended, but its last checkpoint in {folder} is not whole. Run again: it goes on from the one before.")
    step = read_state(last)["global_step"]
    raise TrainingStopped(f"Asked to end (SIGTERM): training stopped after step {step} of {len(lesson.steps)} and saved it. The same command goes on there.")


def seal(training: TrainingConfig, base: BaseModel, lesson: Lesson, checkpoint: Path, bench: Bench) -> dict[str, Any]:
    """Write what is sealed and return the facts that the artifact carries."""
    state = read_state(checkpoint)
    best_step = state["best_global_step"] or state["global_step"]
    best = bench.folder / step_folder("best", best_step) if state["best_global_step"] else checkpoint
    for source, name in ((best, "best"), (checkpoint, "last")):
        seal_weights(source, bench.out / name, base.folder, base.name, base.revision)
        if training.branch == "pissa":
            subtract_start(bench.folder / START, bench.out / name)
    log = state["log_history"]
    (bench.out / "log.jsonl").write_text("".join(json.dumps(entry, sort_keys=True) + "\n" for entry in log), encoding="utf-8")
    facts = _facts(log, lesson, count_parameters(bench.out / "last" if training.method == "full" else checkpoint))
    decisions = json.loads((bench.folder / DECISIONS).read_text(encoding="utf-8"))
    chosen = {
        "method": training.method,
        "adapter": None if training.method == "full" else training.branch,
        "rank": None if training.method == "full" else training.rank,
        "dtype": decisions["dtype"],
        "best_step": best_step,
        "best_epoch": lesson.steps[best_step - 1].done,
        "rows": len(lesson.rows),
        "validation_rows": len(lesson.validation),
        "shared_prefix": lesson.prefix,
    }
    write_json(bench.out / "facts.json", facts | chosen)
    return facts


def _facts(log: list[dict[str, Any]], lesson: Lesson, parameters: int) -> dict[str, Any]:
    steps = [entry for entry in log if "loss" in entry]
    losses = [entry["validation_loss"] for entry in log if "validation_loss" in entry]
    last_epoch = [entry["loss"] for entry in steps if lesson.steps[entry["step"] - 1].epoch == lesson.steps[steps[-1]["step"] - 1].epoch]
    return {
        "parameters": parameters, "steps": len(steps), "train_tokens": sum(entry["tokens"] for entry in steps),
        "train_loss": round(sum(last_epoch) / len(last_epoch), 6), "validation_loss": min(losses) if losses else None,
    }  # fmt: skip
