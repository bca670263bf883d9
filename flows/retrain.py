"""What a schedule runs: a config file in, "nothing new" or a verdict out."""

from __future__ import annotations

from pathlib import Path

from prefect import flow, get_run_logger

from flows.finetune import finetune
from flows.inputs.config_file import read_config
from schemas.artifacts import ReportArtifact
from tasks.reuse.planning import planning

CHECKOUT = Path(__file__).resolve().parents[1]  # a worker's own working folder is a temporary one


@flow(name="retrain", persist_result=False)
def retrain(config_file: str) -> ReportArtifact:
    """Run a config file again (a relative path starts at the checkout); stages with unchanged inputs are hits."""
    config = read_config(CHECKOUT / config_file)
    with planning() as plan:
        finetune.fn(config)
    changed = [f"{stage.label} ({stage.why})" for stage in plan.stages if stage.outlook == "will run"]
    get_run_logger().info(
        f"will run: {'; '.join(changed)}" if changed else "nothing new: every stage is answered from the store"
    )
    return finetune.fn(config)
