"""What a version includes when retrieval won: the passages, or the train rows, that the measured arm retrieved from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import ConfigRefused
from tasks.inference.prompts.prompt_builder import PromptContext
from tasks.inference.prompts.retrieval_file import in_words, serialised, why_too_large

if TYPE_CHECKING:
    from schemas.artifacts import DataArtifact
    from schemas.sections.arms import RetrievalConfig


@dataclass(frozen=True)
class Carried:
    """What a version includes to retrieve from; nothing where the arm that won does not retrieve."""

    shown: PromptContext = field(default_factory=PromptContext)

    @cached_property
    def content(self) -> bytes:
        """The file's bytes."""
        return serialised(self.shown)

    @property
    def digest(self) -> str:
        """The file's sha256, or "" where there is no file."""
        return hashlib.sha256(self.content).hexdigest() if self.content else ""

    @property
    def tags(self) -> dict[str, str]:
        """The tag of versions that include rows or passages."""
        return {"carries": f"{in_words(self.shown)} ({len(self.content) / 1e6:.2f} MB)"} if self.content else {}

    @property
    def note(self) -> str:
        """The note for people: how much the version includes, and who can read it."""
        if not self.content:
            return ""
        return (
            f"It retrieves as it was measured: it carries {self.tags['carries']} and shows the {self.shown.top_k} "
            "nearest with each request. Everybody who can read this version can read them: check their licence, and "
            "whether they contain personal data."
        )


def carried_by(retrieval: RetrievalConfig, data: Path, facts: DataArtifact) -> Carried:
    """Return what a version of the arm tuned_retrieval carries.

    Args:
        retrieval: the settings that the arm was measured with.
        data: opened data artifact.
        facts: of that artifact.

    Raises:
        ConfigRefused: it is larger than a version may be.
    """
    from tasks.inference.prompts.retrieval_index import retrieved_from

    words = retrieval.passage_words if facts.documents else None
    how = retrieval.index_language(facts.language), retrieval.search
    shown = retrieved_from(data, retrieval.top_k, words, *how)
    if (problem := why_too_large(shown)) is not None:
        raise ConfigRefused(
            f"The verdict is sealed, but its adapter was not registered: {problem}. Register the adapter without "
            "retrieval (arms.trained: [tuned]), or retrieve from less (data.corpus), which measures and trains again."
        )
    return Carried(shown)
