"""The stages that measure on the held-out rows: one arm, or the registry's champion as if it were one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.artifacts import (
    AdapterArtifact,
    ArmArtifact,
    DataArtifact,
    EndpointArtifact,
    ModelArtifact,
    TimingArtifact,
)
from schemas.champion import ChampionArtifact, ScoredChampionArtifact
from tasks.arms.settings import ArmSettings
from tasks.reuse.stage import WorkDirectory, stage

if TYPE_CHECKING:
    from schemas.sections.endpoints import EndpointConfig
    from schemas.sections.task import TaskConfig
    from tasks.inference.loading import AdapterFolder

DECODING = ("torch", "transformers", "tokenizers", "peft", "bitsandbytes", "bm25s", "PyStemmer", "llguidance")


@stage(libraries=("scikit-learn", "scipy", "numpy", "sacrebleu"))
def score_classifier(
    task: TaskConfig, data: DataArtifact, limit: int | None, seed: int, *, workdir: WorkDirectory
) -> ArmArtifact:
    """Fit a plain classifier on the train rows, let it name a label for every held-out row, and score the labels."""
    from tasks.arms.classifier import measure_classifier

    return measure_classifier(task, workdir.open(data), limit, seed, workdir.out, workdir.reporter)


@stage(libraries=("sacrebleu",))
def score_endpoint(
    name: str,
    endpoint: EndpointConfig,
    task: TaskConfig,
    data: DataArtifact,
    max_new_tokens: int,
    limit: int | None,
    *,
    workdir: WorkDirectory,
) -> EndpointArtifact:
    """Ask an endpoint for every held-out row and score the answers; those that came are kept and never asked again."""
    from tasks.arms.endpoints import measure_endpoint

    return measure_endpoint(name, endpoint, task, workdir.open(data), max_new_tokens, limit, workdir)


@stage(libraries=(*DECODING, "sacrebleu"))
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
    """Let one arm answer every held-out row greedily and score it; `arm` is from `tasks.arms.settings.arm_settings`."""
    from tasks.arms.scoring import check_base_matches, measure_arm

    if adapter is not None:
        check_base_matches(adapter, base)
    folders = workdir.open(base), workdir.open(data), _fitted(adapter, workdir)
    return measure_arm(arm, task, *folders, seed, workdir.out, workdir.reporter)


@stage(libraries=DECODING)
def time_arm(
    arm: ArmSettings,
    task: TaskConfig,
    base: ModelArtifact,
    data: DataArtifact,
    adapter: AdapterArtifact | None,
    seed: int,
    *,
    workdir: WorkDirectory,
) -> TimingArtifact:
    """Measure how long one answer of an arm takes on this machine, one request at a time."""
    from tasks.arms.timing import measure_seconds

    folders = workdir.open(base), workdir.open(data), _fitted(adapter, workdir)
    return measure_seconds(arm, task, *folders, seed, workdir.reporter)


def _fitted(adapter: AdapterArtifact | None, workdir: WorkDirectory) -> AdapterFolder | None:
    from tasks.inference.loading import AdapterFolder

    return AdapterFolder(workdir.open(adapter) / "best", adapter.method) if adapter else None


@stage(libraries=(*DECODING, "sacrebleu"))
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
    """Let the champion answer every held-out row as it is served: with its own settings (`arm`), its own base and the
    instruction that it learned.

    If it cannot answer today's rows, the reason is sealed as a problem in words and the run goes on.
    """
    from schemas.errors import ConfigRefused, TuneworthyError
    from tasks.arms.scoring import check_base_matches, measure_arm
    from tasks.inference.loading import AdapterFolder

    folders = workdir.open(base), workdir.open(data)
    adapter = AdapterFolder(workdir.open(champion) / "best", champion.method)
    asked = task.model_copy(update={"instruction": champion.instruction})
    try:
        check_base_matches(champion, base)
        found = measure_arm(arm, asked, *folders, adapter, seed, workdir.out, workdir.reporter)
    except TuneworthyError as refusal:
        if type(refusal) not in (ConfigRefused, TuneworthyError):  # a fault of machine or store may be temporary
            raise
        (workdir.out / "problem.txt").write_text(str(refusal), encoding="utf-8")
        nothing = dict.fromkeys(
            ("score", "valid_rate", "stopped_rate", "prompt_tokens", "output_tokens", "seconds_per_row"), 0.0
        )
        return ScoredChampionArtifact(arm="champion", rows=0, problem=str(refusal), **nothing)
    return ScoredChampionArtifact(**found.model_dump(exclude={"arm"}), arm="champion")
