"""The `benchmark` section of a config: what the adapter must not have forgotten."""

from __future__ import annotations

from pydantic import Field

from schemas.sections.section import Section


class BenchmarkConfig(Section):
    """What the adapter must not have forgotten."""

    tasks: tuple[str, ...] = Field(
        ("general_mini",),
        description="lm-eval tasks: a folder or file under configs/benchmarks, a path, or a built-in name.",
    )
    margin: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Accuracy that may be lost on a task; the gate refuses an adapter that lost more, at "
        "decision.confidence.",
    )
    limit: int | None = Field(None, ge=1, description="Use the first N items of each task only (for trying out).")
