"""Where the rows of a pack are, and how they become batches.

Rows of similar length form a bucket; a bucket is one batch of (rows, length) queries against (rows, prefix + length)
keys. Padding comes after a row's tokens, where causality already hides it, so all rows of a bucket share one mask. The
prefix is a bucket of its own, of one row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

# A new bucket begins where padding a row to the bucket's length would waste more than this share of it.
WASTE = 0.2


@dataclass(frozen=True)
class Bucket:
    """Neighbouring rows of a pack, from token `start` on.

    padded (rows * length,): for each place of the batch the index, from `start`, of its token; padding has the index of
    its row's first token, which no query of the row attends to there. real (tokens,): the places that hold a token.
    bias (length, prefix + length): 0 where a query attends to a key, minus infinity elsewhere.
    """

    rows: int
    length: int
    start: int
    prefix: int
    padded: torch.Tensor
    real: torch.Tensor
    bias: torch.Tensor

    @property
    def own(self) -> slice:
        """The bucket's tokens in the pack."""
        return slice(self.start, self.start + self.real.shape[0])

    def to(self, device: Any) -> Bucket:
        """Return the bucket with its index tensors on a device."""
        return replace(self, padded=self.padded.to(device), real=self.real.to(device), bias=self.bias.to(device))


@dataclass(frozen=True)
class Layout:
    """The buckets of a pack, the shared prefix first where there is one; together they cover every token once."""

    prefix: int
    buckets: tuple[Bucket, ...]

    def to(self, device: Any) -> Layout:
        """Return the layout with its index tensors on a device."""
        return Layout(self.prefix, tuple(bucket.to(device) for bucket in self.buckets))

    @property
    def longest(self) -> int:
        """Number of keys that the longest row attends to."""
        return max(bucket.prefix + bucket.length for bucket in self.buckets)


def lay_out(prefix: int, lengths: Sequence[int]) -> Layout:
    """Return the layout of a pack's rows, in ascending order of their own lengths (tokens beyond the prefix)."""
    buckets = [_bucket(0, 0, [prefix])] if prefix else []
    start, first = prefix, 0
    for last in range(1, len(lengths) + 1):
        if last == len(lengths) or lengths[first] < lengths[last] * (1 - WASTE):
            buckets.append(_bucket(start, prefix, lengths[first:last]))
            start += sum(lengths[first:last])
            first = last
    return Layout(prefix, tuple(buckets))


def _bucket(start: int, prefix: int, lengths: Sequence[int]) -> Bucket:
    own = torch.tensor(lengths)
    within = torch.arange(max(lengths))[None, :]
    is_real = within < own[:, None]
    begin = (torch.cumsum(own, 0) - own)[:, None]
    padded = torch.where(is_real, begin + within, begin)
    is_hidden = ~torch.ones(max(lengths), prefix + max(lengths), dtype=torch.bool).tril(prefix)
    bias = torch.zeros(is_hidden.shape).masked_fill_(is_hidden, -math.inf)
    return Bucket(
        len(lengths), max(lengths), start, prefix, padded.flatten(), is_real.flatten().nonzero().flatten(), bias
    )
