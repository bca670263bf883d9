"""The registry's champion as a run sees it: what it was made from and how it answers, read from its version's tags."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from schemas.section import NOT_IN_KEY


class SplitRule(BaseModel):
    """What decides which side of the split a group stands on."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    seed: int
    held_out: float = Field(description="Share of the groups that is held out.")
    group: str | None = Field(
        description="Column that names a row's group; None: rows that begin with the same request are one group."
    )


class Champion(BaseModel):
    """A version that answers for the registered model; what only says where it lies or how it came about is in no
    key.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    model: str = Field(json_schema_extra=NOT_IN_KEY)
    version: str = Field(json_schema_extra=NOT_IN_KEY)
    adapter_digest: str
    served_digest: str = Field(
        "",
        description="Digest of what is served of the adapter (a ChampionArtifact's); empty for versions of before that "
        "was "
        "kept.",
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
        description="How its arm asks, as JSON; empty where the version does not tell.",
        json_schema_extra=NOT_IN_KEY,
    )
    split: SplitRule | None = Field(None, description="How its rows were split.", json_schema_extra=NOT_IN_KEY)
    took_over_from: str = Field(
        "", description="Version that was champion when this one was placed; empty: none.", json_schema_extra=NOT_IN_KEY
    )


class RegistryLook(BaseModel):
    """What a run found in the registry: the champion, the version that it took over from, or in words why there is none
    to be measured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    champion: Champion | None = None
    before: Champion | None = None
    why_none: str = ""
    is_remembered: bool = Field(
        False, description="MLflow does not answer at this moment; this is what it said the last time."
    )
