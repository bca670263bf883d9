"""The registry's champion as a run sees it: what it was made from and how it answers, read from its version's tags."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from schemas.artifacts import ArmArtifact, Artifact
from schemas.sections.section import NOT_IN_KEY


class SplitRule(BaseModel):
    """What decides whether a group is in train or held out."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    seed: int
    held_out: float = Field(description="Share of the groups that is held out.")
    group: str | None = Field(
        description="Column that names a row's group; None: rows that begin with the same request are one group."
    )


class Champion(BaseModel):
    """The version that serves; fields that only say where it is, or how it became champion, are in no key."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    model: str = Field(json_schema_extra=NOT_IN_KEY)
    version: str = Field(json_schema_extra=NOT_IN_KEY)
    adapter_digest: str
    served_digest: str = Field(
        "",
        description="Digest of what is served of the adapter (a ChampionArtifact's); empty for versions of releases "
        "that did not record it.",
    )
    carried_digest: str = Field(
        "", description="sha256 of the file that it retrieves from; empty where it does not retrieve."
    )
    method: str = ""
    base_digest: str = ""
    base_name: str = ""
    template_digest: str = ""
    data_digest: str = Field("", json_schema_extra=NOT_IN_KEY)
    arm_settings: str = Field(
        "",
        description="Settings of its arm, as JSON; empty where the version does not record them.",
        json_schema_extra=NOT_IN_KEY,
    )
    split: SplitRule | None = Field(None, description="How its rows were split.", json_schema_extra=NOT_IN_KEY)
    took_over_from: str = Field(
        "", description="Version that was champion when this one was placed; empty: none.", json_schema_extra=NOT_IN_KEY
    )


class RegistryLookup(BaseModel):
    """What a run found in the registry: the champion and the version before it, or why there is none to measure."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    champion: Champion | None = None
    before: Champion | None = None
    why_none: str = ""
    is_remembered: bool = Field(
        False, description="MLflow does not answer at this moment; this is its last known answer."
    )


class ChampionArtifact(Artifact):
    """What a champion answers with: best/ and golden.json, as in its adapter, and what it retrieves from; problem.txt
    instead where that is unavailable.
    """

    kind: ClassVar[str] = "champion"
    method: str
    base_digest: str
    template_digest: str
    instruction: str
    problem: str = Field("", description="Why it is unavailable; empty when it is available.")


class LearnedRowsArtifact(Artifact):
    """Held-out rows of today that a champion was trained on, or may have been: learned.parquet (row_id, reason:
    same_request, same_group, near_request, other_split).
    """

    kind: ClassVar[str] = "learned_rows"
    learned: int
    unseen: int
    problem: str = Field("", description="Why no row is left to compare on; empty when some are.")


class ScoredChampionArtifact(ArmArtifact):
    """A champion measured as an arm on the same held-out rows: answers.parquet; problem.txt where it cannot answer."""

    kind: ClassVar[str] = "scored_champion"
    problem: str = Field("", description="Why it cannot answer today's rows; empty when it does.")


class ComparisonArtifact(Artifact):
    """Today's arms against the champion on the rows that it was not trained on: champion.json holds a
    `schemas.reports.ChampionReport`, answers.parquet the champion's answers to these rows.
    """

    kind: ClassVar[str] = "comparison"
    version: str
    outcome: str
