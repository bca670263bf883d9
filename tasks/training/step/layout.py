"""Where the rows of a pack stand, and how they become batches.

Rows of like length form a bucket; a bucket is one batch of (rows, length) queries against (rows, prefix + length) keys.
Padding stands behind a row's tokens, where causality already hides it, so all rows of a bucket share one mask. The
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
    """Rows that stand side by side in the pack from `start` on.

    padded (rows * length,) names for each place of the batch the token, counted from `start`, that stands there; a
    place behind a row's end names its first token, which no query of the row may see there. real (tokens,) names the
    places that hold a token. bias (length, prefix + length) is 0 where a query may see a key and minus infinity
    elsewhere.
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


@dataclass(frozen=True)
class Layout:
    """The buckets of a pack, the shared prefix first where there is one; together they cover every token once."""

    prefix: int
    buckets: tuple[Bucket, ...]

    def to(self, device: Any) -> Layout:
        """Return the layout with its index tensors on a device."""
        return Layout(
            self.prefix,
            tuple(
                replace(b, padded=b.padded.to(device), real=b.real.to(device), bias=b.bias.to(device))
                for b in self.buckets
            ),
        )

    @property
    def longest(self) -> int:
        """Number of keys that the longest row looks at."""
        return max(bucket.prefix + bucket.length for bucket in self.buckets)


def lay_out(prefix: int, lengths: Sequence[int]) -> Layout:
    """Return the layout of rows that stand in a pack in ascending order of their own lengths (tokens beyond the
    prefix).
    """
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
