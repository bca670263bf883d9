"""Attention inside a pack: each row sees the shared prefix and itself, nothing else; gradients of the prefix add up
over the rows.

A dense T x T mask would spend most of its work on pairs that are masked. Here each bucket of rows of similar length is
one batch. Two implementations give the same numbers: plain products, which on a CPU are several times faster than its
fused kernel for rows of this length, and the fused kernel, which keeps no matrix of scores, for long rows and on other
devices.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from schemas.errors import ConfigRefused
from tasks.training.step.pack_layout import Bucket, Layout

NAME = "tuneworthy_packed"
# Above this many keys the saved scores of a row outgrow its other activations.
LONG = 1024


def packed_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any,
    *,
    packing: Layout | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attend inside a pack. query (1, H, T, D), key and value (1, G, T, D) with G dividing H; returns ((1, T, H, D),
    None) as transformers wants it.

    Args:
        module: the attention layer; not used.
        query: the queries.
        key: the keys.
        value: the values.
        attention_mask: not used; the layout says which token attends to which.
        packing: the layout of the pack.
        options: transformers' further arguments: scaling, dropout, sliding_window and more.

    Raises:
        ConfigRefused: the base's attention has an option that packs do not support.
    """
    if packing is None:
        raise ValueError("packed attention was called without the layout of a pack")
    _refuse_unknown(packing.longest, options)
    scale, dropout = options.get("scaling") or query.shape[-1] ** -0.5, options.get("dropout") or 0.0
    # Under autocast rotated queries and keys are fp32 and values bf16.
    tokens = [states[0].transpose(0, 1).to(value.dtype) for states in (query, key, value)]
    if query.device.type == "cpu" and packing.longest <= LONG and not dropout:
        return torch.as_tensor(Products.apply(*tokens, packing, scale)).unsqueeze(0), None
    return torch.cat([_fused(tokens, bucket, scale, dropout) for bucket in packing.buckets]).unsqueeze(0), None


def _refuse_unknown(longest: int, options: dict[str, Any]) -> None:
    unknown = [name for name in ("softcap", "s_aux", "position_bias") if options.get(name) is not None]
    window = options.get("sliding_window")
    if window is not None and longest > window:
        unknown.append(f"a sliding window of {window} tokens, shorter than the longest row ({longest})")
    if unknown:
        named = ", ".join(unknown)
        raise ConfigRefused(
            f"base.model: training does not support this base's attention ({named}). Name another base model, or "
            "shorten the rows to the window."
        )


def _queries(tokens: torch.Tensor, bucket: Bucket, heads: int) -> torch.Tensor:
    """Reshape tokens (n, H, D) to (rows, heads, shares * length, D): a key head's queries in a row, no key copied."""
    places = tokens.index_select(0, bucket.padded).unflatten(0, (bucket.rows, bucket.length)).unflatten(2, (heads, -1))
    return places.permute(0, 2, 3, 1, 4).flatten(2, 3)


def _tokens(queries: torch.Tensor, bucket: Bucket) -> torch.Tensor:
    """Reshape (rows, heads, shares * length, D) back to tokens (n, H, D)."""
    places = queries.unflatten(2, (-1, bucket.length)).permute(0, 3, 1, 2, 4).flatten(2, 3).flatten(0, 1)
    return places.index_select(0, bucket.real)


def _keys(tokens: torch.Tensor, bucket: Bucket) -> torch.Tensor:
    """Reshape a pack's tokens (T, G, D) to (rows, G, prefix + length, D), the shared prefix in front of each row."""
    own = tokens[bucket.own].index_select(0, bucket.padded).unflatten(0, (bucket.rows, bucket.length))
    shared = tokens[: bucket.prefix].unsqueeze(0).expand(bucket.rows, -1, -1, -1)
    return torch.cat([shared, own], dim=1).transpose(1, 2)


def _fused(tokens: list[torch.Tensor], bucket: Bucket, scale: float, dropout: float) -> torch.Tensor:
    queries, keys, values = tokens
    heads = keys.shape[1]
    mask = (bucket.bias == 0).repeat(queries.shape[1] // heads, 1)
    q, k, v = _queries(queries[bucket.own], bucket, heads), _keys(keys, bucket), _keys(values, bucket)
    return _tokens(scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale, dropout_p=dropout), bucket)


class Products(torch.autograd.Function):
    """Attention of queries (T, H, D) to keys and values (T, G, D) as plain products, one batch a bucket."""

    @staticmethod
    def forward(
        ctx: Any, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, layout: Layout, scale: float
    ) -> torch.Tensor:
        """Return the attended values (T, H, D), keeping the weights of each bucket."""
        attended = queries.new_empty(*queries.shape[:2], values.shape[2])
        weights = []
        for bucket in layout.buckets:
            q, k, v = _batches(queries, keys, values, bucket)
            bias = bucket.bias.to(q.dtype).repeat(queries.shape[1] // keys.shape[1], 1)
            weights.append(torch.baddbmm(bias, q, k.transpose(1, 2), alpha=scale).softmax(-1))
            attended[bucket.own] = _tokens(torch.bmm(weights[-1], v).unflatten(0, (bucket.rows, -1)), bucket)
        ctx.save_for_backward(queries, keys, values, *weights)
        ctx.layout, ctx.scale = layout, scale
        return attended

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[Any, ...]:
        """Return the gradients of queries, keys and values."""
        queries, keys, values, *weights = ctx.saved_tensors
        into = [torch.zeros_like(states, memory_format=torch.contiguous_format) for states in (queries, keys, values)]
        for bucket, weight in zip(ctx.layout.buckets, weights, strict=True):
            q, k, v = _batches(queries, keys, values, bucket)
            grad = _padded_grad(grads[0][bucket.own], bucket, keys.shape[1])
            slope = torch._softmax_backward_data(torch.bmm(grad, v.transpose(1, 2)), weight, -1, weight.dtype).mul_(
                ctx.scale
            )
            into[0][bucket.own] = _tokens(torch.bmm(slope, k).unflatten(0, (bucket.rows, -1)), bucket)
            _add_key_grad(into[1], torch.bmm(slope.transpose(1, 2), q), bucket)
            _add_key_grad(into[2], torch.bmm(weight.transpose(1, 2), grad), bucket)
        return *into, None, None


def _batches(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, bucket: Bucket) -> list[torch.Tensor]:
    made = _queries(queries[bucket.own], bucket, keys.shape[1]), _keys(keys, bucket), _keys(values, bucket)
    return [states.reshape(-1, *states.shape[2:]) for states in made]


def _padded_grad(grad: torch.Tensor, bucket: Bucket, heads: int) -> torch.Tensor:
    # Padding has no gradient: left at zero, it adds nothing to the keys that its query attended to.
    places = grad.new_zeros(bucket.rows * bucket.length, *grad.shape[1:]).index_copy_(0, bucket.real, grad)
    return (
        places.unflatten(0, (bucket.rows, bucket.length))
        .unflatten(2, (heads, -1))
        .permute(0, 2, 3, 1, 4)
        .flatten(2, 3)
        .flatten(0, 1)
    )


def _add_key_grad(into: torch.Tensor, grad: torch.Tensor, bucket: Bucket) -> None:
    by_row = grad.unflatten(0, (bucket.rows, -1)).transpose(1, 2)
    into[: bucket.prefix] += by_row[:, : bucket.prefix].sum(0)
    into[bucket.own] += by_row[:, bucket.prefix :].flatten(0, 1).index_select(0, bucket.real)
