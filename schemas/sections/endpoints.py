"""Endpoints: models behind an OpenAI-compatible server, such as the one that a team pays for today."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from schemas.sections.section import NOT_IN_KEY, Section

PLACE = re.compile(r"(env|prefect):\S+")


class EndpointConfig(Section):
    """One model on one server, asked with the instruction and the request."""

    url: str = Field(description="Address of the API, such as https://api.example.com/v1.")
    model: str = Field(min_length=1, max_length=200, description="The model that is asked for.")
    key: str | None = Field(
        None,
        description="Where the key is kept: env:NAME (environment variable) or prefect:NAME (Secret block). Never the "
        "key itself.",
        json_schema_extra=NOT_IN_KEY,
    )
    instruction: str | None = Field(
        None, min_length=1, description="System message in place of task.instruction, such as the one in use today."
    )
    parameters: dict[str, str | int | float | bool | None] = Field(
        default_factory=dict,
        max_length=20,
        description="Further fields of each request, such as {reasoning_effort: low}; null leaves out one that is sent "
        "otherwise (temperature: 0, and max_tokens, which is arms.max_new_tokens).",
    )
    price_in: float | None = Field(
        None, ge=0, description="Price of the tokens that it reads, for `costs.per`.", json_schema_extra=NOT_IN_KEY
    )
    price_out: float | None = Field(
        None, ge=0, description="Price of the tokens that it writes, for `costs.per`.", json_schema_extra=NOT_IN_KEY
    )
    requests_per_minute: float | None = Field(
        None,
        gt=0,
        le=1_000_000,
        description="Requests that are sent in a minute at most, tries again included.",
        json_schema_extra=NOT_IN_KEY,
    )
    seconds: float = Field(
        60,
        gt=0,
        le=3600,
        description="Time for one answer, after which it is asked again.",
        json_schema_extra=NOT_IN_KEY,
    )

    @field_validator("url")
    @classmethod
    def url_names_a_server_and_no_key(cls, url: str) -> str:
        """Refuse what is no address, and one with a password or a key in it, which is not repeated."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("is no address of a server, such as https://api.example.com/v1")
        if "@" in parts.netloc or parts.query:
            raise ValueError("holds more than an address; a key belongs where `key` says, env:NAME or prefect:NAME")
        return url.rstrip("/")

    @field_validator("key", mode="before")
    @classmethod
    def key_is_a_place(cls, key: object) -> object:
        """Refuse the key itself, without repeating it."""
        if key is not None and not (isinstance(key, str) and PLACE.fullmatch(key)):
            raise ValueError(
                "is not the place of a key but looks like the key itself: write env:NAME or prefect:NAME, and revoke "
                "the key if this file was shared"
            )
        return key

    @property
    def prices(self) -> tuple[float, float] | None:
        """Prices of the tokens that it reads and writes; None where neither has one."""
        if self.price_in is None and self.price_out is None:
            return None
        return self.price_in or 0.0, self.price_out or 0.0
