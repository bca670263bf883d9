"""The stage that measures one arm on the held-out rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.artifacts import AdapterArtifact, ArmArtifact, DataArtifact, ModelArtifact
from tasks.arms.slicing import ArmSlice
from tasks.stage import Bench, stage

if TYPE_CHECKING:
    from schemas.task_config import TaskConfig


@stage(libraries=("torch", "transformers", "tokenizers", "peft", "bitsandbytes", "bm25s", "PyStemmer"))
def score_arm(
    arm: ArmSlice, task: TaskConfig, base: ModelArtifact, data: DataArtifact, adapter: AdapterArtifact | None, seed: int, *, bench: Bench
) -> ArmArtifact:
    """Let one arm answer every held-out row, greedily, and score its answers; `arm` comes from `tasks.arms.slicing.arm_slice`."""
    from tasks.arms.scoring import ArmInputs, measure_arm

    folders = ArmInputs(
        base=bench.open(base),
        data=bench.open(data),
        adapter=bench.open(adapter) if adapter else None,
        method=adapter.method if adapter else None,
    )
    if adapter is not None:
        from tasks.arms.scoring import check_kinship

        check_kinship(adapter, base)
    return measure_arm(arm, task, folders, seed, bench.out, bench.audience)
