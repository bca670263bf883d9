"""Answers held to a grammar: a token that the grammar does not allow is never chosen.

Each row has a matcher, which knows what may come next after the row's tokens. The most probable token is asked for
first: a mask over the vocabulary is only made where that token is not allowed, which is rare for a model that knows the
form. The answer is the same as with a mask at every step.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from tasks.inference.loading import LoadedModel


class Follower:
    """Chooses the tokens of one row by a grammar."""

    def __init__(self, matcher: Any) -> None:
        self.matcher = matcher

    def choose(self, token: int, logits: Tensor) -> int:
        """Return the most probable token that the grammar allows here, and take it into the row.

        Args:
            token: the most probable one of all.
            logits: of the row, shape (vocabulary,).
        """
        if not self.matcher.validate_tokens([token]):
            allowed = torch.tensor(bytearray(self.matcher.compute_logit_bias()), device=logits.device)
            width = min(len(allowed), len(logits))  # an embedding may be wider than the vocabulary
            token = int(logits[:width].masked_fill(allowed[:width] == 0, float("-inf")).argmax())
        self.matcher.consume_token(token)
        return token


def followers(loaded: LoadedModel, grammar: str, rows: int) -> list[Follower]:
    """Return what chooses the tokens of each row; `grammar` is what tasks.answers.grammar.grammar_of wrote."""
    first = _matcher(loaded.tokenizer, loaded.stop_ids, grammar)
    return [Follower(first.deep_copy()) for _ in range(rows)]


@lru_cache(maxsize=2)
def _matcher(tokenizer: Any, stop_ids: frozenset[int], grammar: str) -> Any:
    from llguidance import LLMatcher
    from llguidance.hf import from_tokenizer

    return LLMatcher(from_tokenizer(tokenizer, eos_token=sorted(stop_ids)), grammar)


class MaskedLogits:
    """The same for transformers' own `generate`: a logits processor that leaves each row one token."""

    def __init__(self, rows: list[Follower], stop_ids: frozenset[int]) -> None:
        self.rows, self.stop_ids, self.ended = rows, stop_ids, [False] * len(rows)

    def __call__(self, ids: Tensor, scores: Tensor) -> Tensor:
        """Return scores with one choice a row; ended rows are left alone."""
        for row, follower in enumerate(self.rows):
            if not self.ended[row]:
                token = follower.choose(int(scores[row].argmax()), scores[row])
                self.ended[row] = token in self.stop_ids
                scores[row] = torch.full_like(scores[row], float("-inf")).index_fill(
                    0, torch.tensor([token], device=scores.device), 0.0
                )
        return scores
