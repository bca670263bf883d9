"""What a registered version is told about itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ServedFacts:
    """The instruction and the limits that the arms were measured with, and the base that the adapter stands on.

    A version that retrieves shows the `top_k` nearest of what its file holds, whose sha256 is `carried_digest`; another
    one has 0 and "".
    """

    instruction: str
    method: str
    max_new_tokens: int
    base_name: str
    base_digest: str
    template_digest: str
    top_k: int = 0
    carried_digest: str = ""
