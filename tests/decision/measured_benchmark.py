"""Benchmarks as the benchmark stage seals them, with numbers that fit their standings."""

from __future__ import annotations

from schemas.artifacts import BenchmarkArtifact
from schemas.findings.loss import BenchmarkTask, LossStanding, NeutralLoss

MARGIN = 0.05
CHANGES = {"kept": (0.0, -0.03, 0.03), "inconclusive": (-0.02, -0.1, 0.06), "lost": (-0.2, -0.3, -0.1)}


def a_task(
    standing: LossStanding, name: str = "facts", change: tuple[float, float, float] | None = None, items: int = 100
) -> BenchmarkTask:
    """Return a task that stands so; `change` is (difference, low, high)."""
    difference, low, high = change or CHANGES[standing]
    return BenchmarkTask(
        task=name,
        items=items,
        clusters=items,
        base=0.8,
        tuned=0.8 + difference,
        difference=difference,
        low=low,
        high=high,
        standing=standing,
    )


def a_loss(standing: LossStanding, difference: float | None = None) -> NeutralLoss:
    """Return a loss on neutral text that stands so, against a margin of 0.1 nats a token."""
    usual, spread = {"kept": (0.01, 0.02), "inconclusive": (0.09, 0.04), "lost": (0.5, 0.1)}[standing]
    moved = usual if difference is None else difference
    ends = {"low": moved - spread, "high": moved + spread}
    return NeutralLoss(texts=200, base=4.0, tuned=4.0 + moved, difference=moved, **ends, margin=0.1, standing=standing)


def a_benchmark(
    *tasks: BenchmarkTask, pooled: BenchmarkTask | None = None, neutral: NeutralLoss | None = None
) -> BenchmarkArtifact:
    """Return a benchmark of these tasks; of one, the task is the pooled result."""
    count = sum(task.items for task in tasks)
    facts = {"margin": MARGIN, "level": 0.025, "looks": (count,), "all_items": count, "neutral": neutral}
    return BenchmarkArtifact(digest="b", tasks=tasks, pooled=pooled or tasks[0], **facts)
