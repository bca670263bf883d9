"""An endpoint on the held-out rows: ask, score, count what went wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars

from schemas.artifacts import EndpointArtifact
from tasks.arms.answers import KNOWN, Answers, held_out_rows, requests_in, sealed_answers
from tasks.inference.endpoint import Endpoint
from tasks.inference.prompts.rendering import row_messages

if TYPE_CHECKING:
    from schemas.sections.endpoints import EndpointConfig
    from schemas.sections.task import TaskConfig
    from tasks.reuse.stage import WorkDirectory

CUT_OFF = "length"


def measure_endpoint(
    name: str,
    settings: EndpointConfig,
    task: TaskConfig,
    data: Path,
    max_new_tokens: int,
    limit: int | None,
    workdir: WorkDirectory,
) -> EndpointArtifact:
    """Ask for an answer to every held-out row, score the answers, and write answers.parquet.

    Raises:
        EndpointFailed: the server does not answer as it was asked; what it answered is kept.
    """
    rows = held_out_rows(data, limit)
    endpoint = Endpoint(name, settings, max_new_tokens, workdir.store, workdir.reporter)
    instruction = settings.instruction or task.instruction
    asked = requests_in(rows)
    replies = endpoint.ask([row_messages(instruction, one.prompt, one.history, one.tools) for one in asked])
    used = [reply.tokens or (0, 0) for reply in replies]
    columns = {
        "prompt_tokens": [read for read, _ in used],
        "output_tokens": [written for _, written in used],
        "is_stopped": [reply.finish != CUT_OFF for reply in replies],
    }
    nothing = polars.DataFrame([{}] * rows.height, schema=KNOWN).drop(columns)
    known = polars.DataFrame(columns).hstack(nothing)
    seconds = [reply.seconds for reply in replies]
    answers = Answers(name, rows, [reply.text for reply in replies], known, float(np.mean(seconds)))
    found = sealed_answers(answers, task, data, workdir.out)
    middle, late = np.percentile(seconds, (50, 95))
    return EndpointArtifact(
        **found.model_dump(),
        model=settings.model,
        refusals=sum(reply.is_refusal for reply in replies),
        faults=dict(sorted(endpoint.faults.items())),
        has_usage=all(reply.tokens for reply in replies),
        p50_seconds=float(middle),
        p95_seconds=float(late),
    )
