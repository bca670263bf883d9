"""Another value for each setting whose other value has to exist, or to fit others."""

from __future__ import annotations

from typing import Any

# Settings whose other value has to exist, or to fit others.
EDITS: dict[str, Any] = {
    "task.answer": {"format": "text", "max_characters": 99},
    "data.source": "other.jsonl",
    "data.corpus": "documents/*.md",
    "data.checks_file": "checks.yaml",
    **dict.fromkeys(("data.completion_source", "data.held_out_source"), "other.jsonl"),
    **dict(zip(("data.separator", "data.encoding", "data.ignore"), (";", "cp1252", ["note"]), strict=True)),
    **dict(zip(("data.labels", "data.roles"), (["red"], {"captain": "user"}), strict=True)),
    # These go with another setting, with a database or the hub: the last test here, and tests/data/test_own_sides.py.
    **dict.fromkeys(("data.held_out_after", "data.time")),
    **dict.fromkeys(("data.query", "data.password", "data.revision", "data.split", "data.subset")),
    "arms.retrieval.shots": None,  # it goes with data.corpus: the test of its own below
    "data.teacher": None,  # it goes with arms.endpoints: a test of its own
    **dict.fromkeys(("arms.retrieval.search", "arms.retrieval.encoder")),  # one goes with the other
    "arms.endpoints": {"incumbent": {"url": "http://127.0.0.1:9/v1", "model": "big"}},
    "base.model": "other model",
    "base.chat_template": "mine.jinja",
    "training.targets": ["q_proj"],
    "training.objective": "sft",
    "training.beta": None,  # it goes with an objective that compares answers
    "data.checks": {"refusal": "drop"},
    "training.where": None,  # it asks a Prefect server: tests/flows/test_dispatch.py
    "base.revision": None,  # of hub ids only
    "benchmark.tasks": ["general_mini_grammar"],
    "benchmark.neutral": "neutral/texts.jsonl",
    "decision.slices": ["group"],
    "decision.max_cost": None,
    "costs": {"currency": "EUR", "machine_hour": 2},
    "task.metric": "em",
    "task.also": ["em"],
    **dict.fromkeys(f"task.scoring.{name}" for name in ("tolerance", "lists", "columns", "pattern")),  # need a metric
    "stages": {"train_adapter": {"retries": 1}},
    "folder": None,  # where the files are; each run here has one
}
