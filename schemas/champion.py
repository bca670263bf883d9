"""The registry's champion as a run sees it: what it was made from and how it answers, read from its version's tags."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

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
    """The version that serves the registered model; fields that only say where it is, or how it became champion, are in
    no key.
    """

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
    """What a run found in the registry: the champion and the version that it took over from, or the reason why there is
    none to measure.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    champion: Champion | None = None
    before: Champion | None = None
    why_none: str = ""
    is_remembered: bool = Field(
        False, description="MLflow does not answer at this moment; this is its last known answer."
    )
