"""The stages that measure on the held-out rows: one arm, or the registry's champion as if it were one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.artifacts import (
    AdapterArtifact,
    ArmArtifact,
    ChampionArtifact,
    DataArtifact,
    ModelArtifact,
    ScoredChampionArtifact,
)
from tasks.arms.settings import ArmSettings
from tasks.reuse.stage import WorkDirectory, stage

if TYPE_CHECKING:
    from schemas.task_config import TaskConfig


@stage(libraries=("torch", "transformers", "tokenizers", "peft", "bitsandbytes", "bm25s", "PyStemmer"))
def score_arm(
    arm: ArmSettings,
    task: TaskConfig,
    base: ModelArtifact,
    data: DataArtifact,
    adapter: AdapterArtifact | None,
    seed: int,
    *,
    workdir: WorkDirectory,
) -> ArmArtifact:
    """Let one arm answer every held-out row, greedily, and score its answers; `arm` comes from
    `tasks.arms.settings.arm_settings`.
    """
    from tasks.arms.scoring import ArmInputs, measure_arm

    folders = ArmInputs(
        base=workdir.open(base),
        data=workdir.open(data),
        adapter=workdir.open(adapter) if adapter else None,
        method=adapter.method if adapter else None,
    )
    if adapter is not None:
        from tasks.arms.scoring import check_kinship

        check_kinship(adapter, base)
    return measure_arm(arm, task, folders, seed, workdir.out, workdir.reporter)


@stage(libraries=("torch", "transformers", "tokenizers", "peft", "bitsandbytes", "bm25s", "PyStemmer"))
def score_champion(
    arm: ArmSettings,
    task: TaskConfig,
    base: ModelArtifact,
    data: DataArtifact,
    champion: ChampionArtifact,
    seed: int,
    *,
    workdir: WorkDirectory,
) -> ScoredChampionArtifact:
    """Let the champion answer every held-out row as it is served: `arm` are its own settings, `base` is its own base,
    its instruction is the one it learned.

    What keeps it from answering today's rows is sealed as a problem in words: it ends no run.
    """
    from schemas.errors import ConfigRefused, TuneworthyError
    from tasks.arms.scoring import ArmInputs, check_kinship, measure_arm

    folders = ArmInputs(workdir.open(base), workdir.open(data), workdir.open(champion), champion.method)
    asked = task.model_copy(update={"instruction": champion.instruction})
    try:
        check_kinship(champion, base)
        found = measure_arm(arm, asked, folders, seed, workdir.out, workdir.reporter)
    except TuneworthyError as refusal:
        if type(refusal) not in (ConfigRefused, TuneworthyError):  # a fault of the machine or of the store may pass
            raise
        (workdir.out / "problem.txt").write_text(str(refusal), encoding="utf-8")
        nothing = dict.fromkeys(
            ("score", "valid_rate", "stopped_rate", "prompt_tokens", "output_tokens", "seconds_per_row"), 0.0
        )
        return ScoredChampionArtifact(arm="champion", rows=0, problem=str(refusal), **nothing)
    return ScoredChampionArtifact(**found.model_dump(exclude={"arm"}), arm="champion")
