"""A fit from start to end: decide, load, probe, start, train, seal."""

# step/ computes a step, adapters/ holds what is fitted and sealed, running/ keeps a fit alive.
from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import TYPE_CHECKING

from transformers import set_seed

from tasks.reuse.memory import keep_freed
from tasks.training.adapters.methods import load_model
from tasks.training.adapters.qera import start_adapters
from tasks.training.adapters.sealing import BaseModel, Fitted, seal
from tasks.training.dataset import prepare_dataset
from tasks.training.running.checkpoints import best_weights, newest_whole, read_state
from tasks.training.running.decisions import decide, note_smaller_packs
from tasks.training.running.devices import run_on_devices
from tasks.training.running.memory_probe import confirmed_capacity
from tasks.training.running.origin import origin_of, refuse_other_origin
from tasks.training.running.stopping import Stop, is_finished, last_checkpoint
from tasks.training.running.trainer import PackedTrainer
from tasks.training.step.loss import answering
from tasks.training.step.packing_check import check_packing

if TYPE_CHECKING:
    from schemas.sections.training import TrainingConfig
    from tasks.inference.precision import Precision
    from tasks.reuse.stage import WorkDirectory
    from tasks.training.step.packing import TrainingDataset


def fit_adapter(
    training: TrainingConfig, instruction: str, base: BaseModel, rows: Path, seed: int, workdir: WorkDirectory,
    precision: Precision | None = None, replay: Path | None = None,
) -> Fitted:  # fmt: skip
    """Fit one adapter on a train.parquet; write best/, last/, log.jsonl and facts.json into `workdir.out`.

    `replay` is a JSON list of the texts that training.replay mixes in.

    Raises:
        DatasetRefused: rows are too long, or have no answer; the message names them.
        ConfigRefused: the method or its rank does not fit the base.
        TrainingStopped: the loss is not finite, SIGTERM arrived, or the checkpoints belong to another fit.
    """
    started = time.monotonic()
    refuse_other_origin(workdir, origin_of(training, instruction, base.folder, rows, seed, replay))
    dataset = prepare_dataset(training, instruction, base.folder, rows, seed, workdir.reporter, replay)
    decisions = decide(workdir, base.folder, training, dataset, precision)
    last = newest_whole(workdir.folder)
    if last is None or not is_finished(read_state(last), dataset):
        work = functools.partial(train, training, base.folder, dataset, seed, precision=precision)
        run_on_devices(work, training.devices, decisions.device, workdir)
        last = last_checkpoint(workdir.folder, dataset)
    best, state = best_weights(workdir.folder, last), read_state(last)
    facts = seal(workdir.out, best, last, state, training, base, dataset, decisions.dtype)
    return Fitted(**facts, seconds=round(time.monotonic() - started, 1))


def train(
    training: TrainingConfig, base: Path, dataset: TrainingDataset, seed: int, workdir: WorkDirectory,
    precision: Precision | None = None, stop: Stop | None = None,
) -> Path:  # fmt: skip
    """Train from the newest checkpoint, or the start, to the end or until `stop` is set; return the last checkpoint."""
    decisions = decide(workdir, base, training, dataset, precision)
    keep_freed()
    set_seed(seed)
    model = load_model(base, training, decisions.torch_dtype, decisions.device, is_checkpointed=decisions.checkpointing)
    checkpoint, capacity = newest_whole(workdir.folder), decisions.capacity
    with answering(model) as head:
        check_packing(model, head, [*dataset.rows, *dataset.validation])
        if checkpoint is None:
            capacity = confirmed_capacity(model, head, dataset, training, decisions, workdir)
            start_adapters(model, head, dataset, capacity, base, training, workdir.reporter)
        trainer = PackedTrainer(model, head, dataset, training, decisions, capacity, seed, workdir, stop)
        try:
            trainer.resume(checkpoint)
        finally:
            note_smaller_packs(workdir, base, training, dataset, decisions)
    return last_checkpoint(workdir.folder, dataset, trainer.stop.is_set())
