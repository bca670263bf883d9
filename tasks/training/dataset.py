"""The train rows as a fit uses them: rendered, checked, split for validation, ordered in steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.reuse.progress import Reporter
from tasks.training.replay import mix_in, text_rows
from tasks.training.rows import TokenRow, common_prefix, read_rows, refuse_long_rows, split_validation
from tasks.training.step.packing import TrainingDataset, plan_steps

if TYPE_CHECKING:
    from schemas.sections.training import TrainingConfig


def prepare_dataset(
    training: TrainingConfig, instruction: str, base: Path, rows: Path, seed: int, reporter: Reporter,
    replay: Path | None = None,
) -> TrainingDataset:  # fmt: skip
    """Return the rows of a train.parquet as tokens, split for validation and ordered in steps; `replay` is a JSON list
    of the texts that training.replay mixes in.

    Raises:
        DatasetRefused: rows are too long, or have no answer; the message names them.
    """
    from transformers import AutoConfig, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True, trust_remote_code=False)
    config = AutoConfig.from_pretrained(base, local_files_only=True, trust_remote_code=False).get_text_config()
    rendered = read_rows(rows, tokenizer, instruction)
    unwanted = rows.with_name("unwanted.parquet")
    if training.objective == "kto" and unwanted.exists():
        rendered += [replace(row, kind="rejected") for row in read_rows(unwanted, tokenizer, instruction)]
    refuse_long_rows(rendered, training.max_length, getattr(config, "max_position_embeddings", None))
    learned, validation = split_validation(rendered, training.validation, seed)
    if training.validation and not validation:
        reporter.say("validation: off, as all train rows are of one group; the last weights count as the best")
    if training.objective == "kto":
        learned, validation = (with_mismatched(some, training.max_length) for some in (learned, validation))
    units = [list(unit) for _, unit in groupby(range(len(learned)), key=lambda place: learned[place].row_id)]
    tokens = [sum(learned[place].tokens for place in unit) for unit in units]
    steps = [
        replace(step, rows=tuple(place for unit in step.rows for place in units[unit]))
        for step in plan_steps(tokens, training.tokens_per_step, training.epochs, seed)
    ]
    dataset = TrainingDataset(learned, validation, steps, common_prefix([*learned, *validation]), training.patience)
    if not training.replay:
        return dataset
    mixed = mix_in(dataset, text_rows(replay, tokenizer, training.max_length), training.replay, seed)
    reporter.say(f"replay: neutral texts take the place of {training.replay:.0%} of the examples of every epoch")
    return mixed


def with_mismatched(rows: Sequence[TokenRow], longest: int) -> list[TokenRow]:
    """Return rows, each followed by its request with another row's answer if both fit `longest`: kto compares them."""
    made = list[TokenRow]()
    for place, row in enumerate(rows):
        made.append(row)
        other = rows[(place + 1) % len(rows)]
        crossed = replace(row, answer_ids=other.answer_ids, kind="mismatched")
        is_last = place + 1 == len(rows) or rows[place + 1].row_id != row.row_id
        if is_last and other.row_id != row.row_id and crossed.tokens <= longest:
            made.append(crossed)
    return made
