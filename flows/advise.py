"""What next: the whole question, then a learning curve of the tuned arm, then one piece of advice."""

from __future__ import annotations

import json

from prefect import flow

from flows.arms import score_arms, with_index
from flows.finetune import finetune
from flows.inputs.rows import checked_rows
from flows.inputs.sources import locate
from flows.live import live_in_mlflow
from flows.mending import retry_when_broken
from schemas.artifacts import (
    AdapterArtifact,
    AdviceArtifact,
    ArmArtifact,
    DataArtifact,
    ModelArtifact,
    ReplayTextsArtifact,
    ReportArtifact,
)
from schemas.config import RunConfig
from schemas.errors import ConfigRefused
from schemas.sources import BaseSource
from tasks.base.task import fetch_base
from tasks.data.task import check_rendering, take_share
from tasks.decision.task import write_advice
from tasks.reuse.current_store import current_store
from tasks.reuse.planning import enter_run
from tasks.training.task import gather_replay, train_adapter

SHARES = (0.25, 0.5, 1.0)


@flow(name="advise", flow_run_name="{config.name}", persist_result=False)
@retry_when_broken
def advise(config: RunConfig) -> AdviceArtifact:
    """Say what to do next; where nothing was tuned there is no curve.

    Raises:
        ConfigRefused: the adapter is to be trained elsewhere; the parts of a curve are trained here.
    """
    page = finetune.fn(config)
    enter_run(config.name, config.stages)
    sources = locate(config)
    data = checked_rows(config, sources)
    base = fetch_base(sources.base)
    decision = config.decision.for_answers(config.task.answer)
    curved = "tuned_retrieval" if config.learned_context else "tuned"
    if curved not in config.arms.trained or not _is_tuned(page, curved):
        return write_advice(decision, page, {}, (), None)
    if config.training.where is not None:
        raise ConfigRefused(
            "training.where: a learning curve is trained here; leave it out (--set training.where=null)."
        )
    replay = gather_replay(sources.benchmark.neutral) if config.training.replay else None
    shares = {f"{share:g}": data if share == 1 else take_share(data, share, config.seed) for share in SHARES}
    shared = base, data, replay, sources.encoder
    curve = {share: learned_from(config, curved, share, part, *shared) for share, part in shares.items()}
    tuned = tuple(arm for _, arm in curve.values())
    return write_advice(decision, page, shares, tuned, curve["1"][0])


def _is_tuned(page: ReportArtifact, curved: str) -> bool:
    """Tell whether the run measured this tuned arm; in a plan it may."""
    if not isinstance(page, ReportArtifact):
        return True
    verdict = json.loads((current_store().open(page.digest) / "verdict.json").read_text(encoding="utf-8"))
    return any(arm["arm"] == curved for arm in verdict["arms"])


def learned_from(
    config: RunConfig,
    arm: str,
    share: str,
    part: DataArtifact,
    base: ModelArtifact,
    data: DataArtifact,
    replay: ReplayTextsArtifact | None,
    encoder: BaseSource | None = None,
) -> tuple[AdapterArtifact, ArmArtifact]:
    """Fit on a part of the train rows, and measure a tuned arm on the same held-out rows as ever."""
    shown = with_index(config, encoder, part) if config.learned_context else part
    rendering = check_rendering(config.task, base, shown, *config.rendered)
    with live_in_mlflow(config.name):
        subject = f"{float(share):.0%}"
        adapter = train_adapter(config.training, rendering, base, part, config.seed, replay, subject=subject)
    searched = with_index(config, encoder, data)
    (measured,) = score_arms(config.task, config.arms, config.seed, (arm,), base, data, adapter, searched)
    return adapter, measured
