"""What is sent to a worker: artifacts by digest and settings by value, as a path means nothing elsewhere."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from schemas.artifacts import (
    BenchmarkFilesArtifact,
    DataArtifact,
    ModelArtifact,
    RenderingArtifact,
    ReplayTextsArtifact,
)
from schemas.config import StageLimits, StageName
from schemas.sections.arms import ArmsConfig
from schemas.sections.benchmark import Asking
from schemas.sections.task import TaskConfig
from schemas.sections.training import TrainingConfig


class TrainOrder(BaseModel):
    """One adapter to fit, with the trained arms and the benchmark to measure; all else is in the shared store."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    run: str = Field(description="Name of the run that ordered it: for people only.")
    training: TrainingConfig
    task: TaskConfig
    rendering: RenderingArtifact
    base: ModelArtifact
    data: DataArtifact
    searched: DataArtifact | None = Field(None, description="The data with the index that retrieval searches.")
    arms: ArmsConfig
    benchmark: BenchmarkFilesArtifact
    asking: Asking
    replay: ReplayTextsArtifact | None = None
    seed: int
    stages: dict[StageName, StageLimits] = Field(
        default_factory=dict, description="Retries and time limits, as in the run that ordered it."
    )
