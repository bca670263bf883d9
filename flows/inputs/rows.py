"""The rows of a run: answered by the teacher where a config names one, checked and split."""

from __future__ import annotations

from flows.inputs.sources import RunSources
from schemas.artifacts import DataArtifact, LabelsArtifact
from schemas.config import RunConfig
from tasks.data.task import label_rows, validate_data


def checked_rows(config: RunConfig, sources: RunSources) -> DataArtifact:
    """Return the checked and split rows."""
    labels = labels_of(config, sources) if config.data.teacher is not None else None
    return validate_data(config.task, config.data, config.seed, sources.data, *config.learned, labels)


def labels_of(config: RunConfig, sources: RunSources) -> LabelsArtifact:
    """Return the answers of the teacher, which the config names."""
    teacher = config.arms.endpoints[str(config.data.teacher)]
    return label_rows(config.task, config.data, teacher, config.arms.max_new_tokens, sources.data)
