"""A verdict as one MLflow run: every number, every digest, the report, and the training's loss curve."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from schemas.reports import Verdict

if TYPE_CHECKING:
    from tasks.registry.connection import Registry

BATCH = 1000  # metrics that MLflow takes at once
LONGEST = 5000  # characters of a tag's value


@dataclass(frozen=True)
class RunContents:
    """What an MLflow run contains: `params` and `tags` as text, `numbers`, `curve` by step, `files` as artifacts."""

    params: dict[str, str]
    tags: dict[str, str]
    numbers: dict[str, float]
    curve: list[dict[str, float]] = field(default_factory=list)
    files: tuple[Path, ...] = ()


def verdict_numbers(verdict: Verdict) -> dict[str, float]:
    """Return numbers under names that MLflow groups, such as arm/few_shot/score and champion/difference."""
    numbers: dict[str, float] = {"verdict/regret": verdict.regret}
    parts: dict[str, BaseModel] = {f"arm/{mlflow_key(arm.arm)}": arm for arm in verdict.arms}
    if verdict.champion:
        parts["champion"] = verdict.champion
    if verdict.gate:
        parts |= {f"benchmark/{mlflow_key(task.task)}": task for task in verdict.gate.shown}
        parts |= {"benchmark/neutral text": verdict.gate.neutral} if verdict.gate.neutral else {}
    for part, found in parts.items():
        values = found.model_dump().items()
        numbers |= {f"{part}/{name}": float(value) for name, value in values if isinstance(value, (int, float))}
    return numbers


def mlflow_key(name: str) -> str:
    """Return a name with the characters that MLflow forbids replaced."""
    return "".join(sign if sign.isalnum() or sign in "_-. " else "-" for sign in name)


def read_curve(log: Path) -> list[dict[str, float]]:
    """Return the training log: one mapping per entry, with `step` and the numbers logged there."""
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def track(registry: Registry, experiment: str, name: str, contents: RunContents, identity: str) -> str:
    """Write a finished run and return its id; the same identity gives the existing run.

    A run that an earlier attempt left half-written is deleted first, so no number is ever doubled.
    """
    client = registry.client
    place = registry.experiment(experiment)
    for run in client.search_runs([place], f"tags.identity = '{identity}'"):
        if run.info.status == "FINISHED":
            return str(run.info.run_id)
        client.delete_run(run.info.run_id)
    tags = {"identity": identity} | {key: value[:LONGEST] for key, value in contents.tags.items()}
    run_id = str(client.create_run(place, run_name=name, tags=tags).info.run_id)
    _write(client, run_id, contents)
    client.set_terminated(run_id, "FINISHED")
    return run_id


def _write(client: Any, run_id: str, contents: RunContents) -> None:
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    metrics = [Metric(name, value, now, step) for name, value, step in _metrics(contents)]
    client.log_batch(run_id, params=[Param(name, value) for name, value in contents.params.items()])
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + BATCH])
    for path in contents.files:
        client.log_artifact(run_id, str(path))


def _metrics(contents: RunContents) -> Iterator[tuple[str, float, int]]:
    for name, value in contents.numbers.items():
        yield name, value, 0
    for entry in contents.curve:
        for name in sorted(entry.keys() - {"step"}):
            yield f"train/{name}", float(entry[name]), int(entry["step"])
