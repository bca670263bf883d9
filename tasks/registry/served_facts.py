"""What a registered version is told about itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ServedFacts:
    """The instruction and the limits that the arms were measured with, and the base that the adapter stands on."""

    instruction: str
    method: str
    max_new_tokens: int
    base_name: str
    base_digest: str
    template_digest: str
