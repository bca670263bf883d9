"""The training stages: one adapter fitted on the train split, and the neutral texts that may be mixed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.artifacts import AdapterArtifact, DataArtifact, ModelArtifact, RenderingArtifact, ReplayTextsArtifact
from schemas.sources import SourceFile
from tasks.reuse.stage import WorkDirectory, stage

if TYPE_CHECKING:
    from schemas.sections.training import TrainingConfig


@stage()
def gather_replay(neutral: SourceFile | None, *, workdir: WorkDirectory) -> ReplayTextsArtifact:
    """Put the neutral texts that training.replay mixes in into the store."""
    import json
    from pathlib import Path

    from tasks.neutral import read_texts, replay_texts

    texts = replay_texts(read_texts(Path(neutral.path))) if neutral else []
    (workdir.out / "texts.json").write_text(json.dumps(texts, indent=0), encoding="utf-8")
    return ReplayTextsArtifact(texts=len(texts))


@stage(libraries=("torch", "transformers", "peft", "bitsandbytes", "accelerate", "tokenizers", "liger-kernel"))
def train_adapter(
    training: TrainingConfig,
    rendering: RenderingArtifact,
    base: ModelArtifact,
    data: DataArtifact,
    seed: int,
    replay: ReplayTextsArtifact | None = None,
    *,
    workdir: WorkDirectory,
) -> AdapterArtifact:
    """Fit one adapter on the train split, or return the sealed one of the same inputs, source and libraries.

    It is trained on the rendering that was checked: the golden rows are rendered again and compared before the first
    step. `replay` holds the texts that training.replay mixes in.
    """
    from transformers import AutoTokenizer

    from tasks.inference.prompts.golden import copy_golden, verify_golden
    from tasks.reuse.memory import make_room
    from tasks.training.adapters.sealing import BaseModel
    from tasks.training.fitting import fit_adapter

    make_room()
    origin = BaseModel(workdir.open(base), base.name, base.revision)
    instruction = verify_golden(
        workdir.open(rendering),
        AutoTokenizer.from_pretrained(str(origin.folder), trust_remote_code=False, local_files_only=True),
    )
    texts = workdir.open(replay) / "texts.json" if replay else None
    with_context = workdir.open(rendering) / "train.parquet"
    rows = with_context if with_context.exists() else workdir.open(data) / "train.parquet"
    fitted = fit_adapter(training, instruction, origin, rows, seed, workdir, replay=texts)
    copy_golden(workdir.open(rendering), workdir.out)
    return AdapterArtifact(
        method=training.method,
        base_digest=base.digest,
        template_digest=base.template_digest,
        replay=training.replay,
        **fitted.model_dump(),
    )
