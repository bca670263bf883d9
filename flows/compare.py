"""The arms without training: "do we need to fine-tune at all?"."""

from __future__ import annotations

from prefect import flow

from flows.finetune import finetune
from schemas.artifacts import ReportArtifact
from schemas.config import RunConfig


@flow(name="compare", flow_run_name="{config.name}", persist_result=False)
def compare(config: RunConfig) -> ReportArtifact:
    """Measure prompt, few-shot and retrieval only, and say whether one of them is enough."""
    return finetune.fn(without_training(config))


def without_training(config: RunConfig) -> RunConfig:
    """Return the config without trained arms; its untrained stages have the same keys as in a whole run."""
    return config.model_copy(update={"arms": config.arms.model_copy(update={"trained": ()})})
