"""How long one answer takes: requests one at a time, as a person who waits for one sends them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from schemas.artifacts import TimingArtifact
from tasks.arms.prompting import context_of
from tasks.arms.scoring import held_out_rows
from tasks.arms.settings import ArmSettings
from tasks.inference.decoding import generate
from tasks.inference.loading import AdapterFolder, load_model
from tasks.inference.prompts.prompt_builder import PromptBuilder, Request
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
    builder = PromptBuilder(task.instruction, context_of(arm, data, seed))
    loaded = load_model(base, adapter=adapter)
    asked = picked.select("prompt", "history").iter_rows()
    prompts = [render_prompt(loaded.tokenizer, builder.build(Request(prompt, tuple(turns)))) for prompt, turns in asked]
    generate(loaded, prompts[:1], arm.max_new_tokens, lambda *_: None)
    seconds = []
    for done, prompt in enumerate(prompts):
        reporter.advance(done, len(prompts), "answers timed")
        started = time.monotonic()
        generate(loaded, [prompt], arm.max_new_tokens, lambda *_: None)
        seconds.append(time.monotonic() - started)
    middle, late = np.percentile(seconds, (50, 95))
    return TimingArtifact(
        arm=arm.name, rows=len(seconds), mean=float(np.mean(seconds)), p50=float(middle), p95=float(late)
    )
