"""What one arm reads of the config; the rest stays out of its key, or a change of shots would run the prompt arm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from pydantic import BaseModel, ConfigDict

from schemas.sections.arms import GRAMMAR, TrainedArm, UntrainedArm

if TYPE_CHECKING:
    from schemas.sections.arms import ArmsConfig

SHOTS = 4  # beside passages: each has as many passages as the request
ArmName = Literal[UntrainedArm, TrainedArm]


class ArmSettings(BaseModel):
    """The settings that one arm reads; a setting that it does not read is None."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: ArmName
    max_new_tokens: int
    limit: int | None = None
    shots: int | None = None
    top_k: int | None = None
    passage_words: int | None = None
    language: str | None = None
    search: str = "bm25"

    @property
    def is_tuned(self) -> bool:
        """Tell whether this arm answers with the adapter."""
        return self.name.startswith("tuned")

    @property
    def has_grammar(self) -> bool:
        """Tell whether this arm's answers are held to a grammar."""
        return self.name.endswith(GRAMMAR)


def arm_settings(arm: str, arms: ArmsConfig, has_documents: bool, language: str = "en") -> ArmSettings:
    """Return what `arm` reads of the arms' section.

    `has_documents` tells whether the task has a corpus, `language` what its index is built for (DataArtifact.language).

    Beside passages the untrained retrieval arm shows examples. The tuned one has learned the form of an answer from its
    own rows, which stood alone: it shows none, as they would cost tokens and make its prompts less like what it was
    fitted on. Without a corpus the rows that are retrieved are the examples.

    Raises:
        ValueError: there is no such arm.
    """
    if arm not in get_args(ArmName):
        raise ValueError(f'there is no arm "{arm}"; the arms are {", ".join(get_args(ArmName))}')
    own: dict[str, int | str] = {}
    shown = arm.removesuffix(GRAMMAR)
    if shown == "few_shot":
        own = {"shots": arms.few_shot.shots}
    elif shown.endswith("retrieval"):
        own = {"top_k": arms.retrieval.top_k, "language": arms.retrieval.index_language(language)}
        own |= {"search": arms.retrieval.search}
        own |= {"passage_words": arms.retrieval.passage_words} if has_documents else {}
        own |= {"shots": _shots_beside_passages(arms)} if has_documents and shown == "retrieval" else {}
    return ArmSettings.model_validate({"name": arm, "max_new_tokens": arms.max_new_tokens, "limit": arms.limit, **own})


def _shots_beside_passages(arms: ArmsConfig) -> int:
    return min(arms.few_shot.shots, SHOTS) if arms.retrieval.shots is None else arms.retrieval.shots
