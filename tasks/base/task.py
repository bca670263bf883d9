"""The stage that brings the base model into the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.artifacts import ModelArtifact
from tasks.reuse.stage import WorkDirectory, stage

if TYPE_CHECKING:
    from schemas.sources import BaseSource


@stage(libraries=("transformers", "safetensors", "gguf"))
def fetch_base(source: BaseSource, *, workdir: WorkDirectory) -> ModelArtifact:
    """Bring the base model into the store as safetensors with a tokenizer and chat template; once per content."""
    from tasks.base.conversion import convert_base

    facts = convert_base(source, workdir.out)
    workdir.reporter.say(
        f"base {source.name}: {facts.parameters / 1e6:.1f} million parameters, {facts.dtype}, {facts.how}"
    )
    return ModelArtifact(
        name=source.name, revision=source.revision, parameters=facts.parameters, template_digest=facts.template_digest
    )
