"""The `costs` section of a config: what answers cost, by prices that only the user can know."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from schemas.sections.section import Section

TOKENS = {"million_tokens": 1_000_000, "thousand_tokens": 1_000}


class CostsConfig(Section):
    """Prices. An answer costs its tokens and its seconds at the prices that are given; what has none costs nothing."""

    currency: str = Field(pattern=r"^[A-Z]{3}$", description="Code such as EUR; every price here is in it.")
    machine_hour: float | None = Field(
        None, gt=0, description="Price of an hour of the machine that trains and answers, one request at a time."
    )
    input_tokens: float | None = Field(None, ge=0, description="Price of tokens that are read, where they are billed.")
    output_tokens: float | None = Field(
        None, ge=0, description="Price of tokens that are written, where they are billed."
    )
    per: Literal["million_tokens", "thousand_tokens"] = Field(
        "million_tokens", description="Tokens that the two prices of tokens are for."
    )
    requests_per_month: int | None = Field(
        None, ge=1, description="Expected requests: the verdict says in how many months training pays for itself."
    )

    @model_validator(mode="after")
    def something_has_a_price(self) -> CostsConfig:
        """Refuse prices of nothing."""
        if self.machine_hour is None and not self.input_tokens and not self.output_tokens:
            raise ValueError("give at least one price: machine_hour, input_tokens or output_tokens")
        return self

    def per_thousand_answers(self, prompt_tokens: float, output_tokens: float, seconds: float) -> float:
        """Return what 1,000 answers cost, from the mean tokens and seconds of one."""
        tokens = prompt_tokens * (self.input_tokens or 0.0) + output_tokens * (self.output_tokens or 0.0)
        return 1000 * (tokens / TOKENS[self.per] + self.hours(seconds))

    def hours(self, seconds: float) -> float:
        """Return what so many seconds of the machine cost."""
        return seconds / 3600 * (self.machine_hour or 0.0)
