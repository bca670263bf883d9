"""How long one answer takes: requests one at a time, as a person who waits for one sends them."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from schemas.artifacts import TimingArtifact
from tasks.answers.contract import JSON_SCHEMA
from tasks.answers.grammar import grammar_of
from tasks.arms.answers import held_out_rows, requests_in
from tasks.arms.classifier import ARM as CLASSIFIER
from tasks.arms.classifier import fitted_on, requests_of
from tasks.arms.prompting import context_of
from tasks.arms.settings import ArmSettings
from tasks.inference.decoding import generate
from tasks.inference.loading import AdapterFolder, LoadedModel, load_model
from tasks.inference.prompts.prompt_builder import PromptBuilder, PromptContext
from tasks.inference.prompts.rendering import render_prompt
from tasks.reuse.progress import Reporter

if TYPE_CHECKING:
    from schemas.sections.task import TaskConfig

ROWS = 20


def measure_seconds(
    arm: ArmSettings,
    task: TaskConfig,
    base: Path,
    data: Path,
    adapter: AdapterFolder | None,
    seed: int,
    reporter: Reporter,
) -> TimingArtifact:
    """Answer ROWS held-out rows, evenly spaced, one after the other; the first once more before, to warm up."""
    rows = held_out_rows(data, arm.limit)
    picked = rows[np.unique(np.linspace(0, rows.height - 1, ROWS).astype(int)).tolist()]
    answers: list[Callable[[], Any]]
    if arm.name == CLASSIFIER:
        model = fitted_on(data, seed)
        answers = [partial(model.predict, [request]) for request in requests_of(picked)]
    else:
        answers = _decoded_answers(
            arm, task, load_model(base, adapter=adapter), picked, data, context_of(arm, data, seed)
        )
    answers[0]()
    seconds = []
    for done, answer in enumerate(answers):
        reporter.advance(done, len(answers), "answers timed")
        started = time.monotonic()
        answer()
        seconds.append(time.monotonic() - started)
    middle, late = np.percentile(seconds, (50, 95))
    return TimingArtifact(
        arm=arm.name, rows=len(seconds), mean=float(np.mean(seconds)), p50=float(middle), p95=float(late)
    )


def _decoded_answers(
    arm: ArmSettings, task: TaskConfig, loaded: LoadedModel, rows: pl.DataFrame, data: Path, context: PromptContext
) -> list[Callable[[], Any]]:
    """Return for each row what decodes its answer alone."""
    builder = PromptBuilder(task.instruction, context)
    prompts = [render_prompt(loaded.tokenizer, builder.build(request)) for request in requests_in(rows)]
    grammar = grammar_of(task, data / JSON_SCHEMA) if arm.has_grammar else ""
    return [partial(generate, loaded, [prompt], arm.max_new_tokens, grammar=grammar) for prompt in prompts]
