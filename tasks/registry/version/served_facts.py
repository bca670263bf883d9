"""The facts that a registered version needs to answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ServedFacts:
    """The instruction and the limits that the arms were measured with, and the base of the adapter.

    A version that retrieves shows the `top_k` nearest entries of its file, whose sha256 is `carried_digest`; any other
    has 0 and "". `grammar` is what its answers are held to, as it was measured; "" for none.
    """

    instruction: str
    method: str
    max_new_tokens: int
    base_name: str
    base_digest: str
    template_digest: str
    top_k: int = 0
    carried_digest: str = ""
    grammar: str = ""
