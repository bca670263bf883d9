"""Shared-prefix decoding: the common prefix of many prompts is read once, and its keys and values are kept once.

A row attends to two stretches, the shared prefix and its own tokens. Each stretch gives an attention result and the
logarithm of its softmax's denominator, from which the result over both follows exactly. transformers lets an attention
function be registered by name, so this works inside every model that uses that interface;
`tasks.inference.prefix_support` tries it on the model at hand before it is used.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, Cache

# By its module: a version that is loaded in this process has a copy of this module, with its own memory to read into.
NAME = __name__.replace(".", "_")
# Arguments of an attention function that this one does not support.
UNSUPPORTED = ("sliding_window", "softcap", "s_aux", "position_bias")
_reading: ContextVar[SharedMemory | None] = ContextVar("_reading", default=None)


class ModelUnsupported(Exception):
    """Raised when a model's attention cannot be split into two stretches here."""


class SharedMemory(Cache):
    """A key-value cache: the prefix once, and each row's own tokens in space that is allocated at the start.

    Shapes: heads K (of keys), G queries to a key head, tokens P of the prefix, room C of a row, features D.
    """

    def __init__(self) -> None:
        super().__init__(layers=[])
        self.prefix: dict[int, tuple[Tensor, Tensor]] = {}
        self.own: dict[int, tuple[Tensor, Tensor]] = {}
        self.prefix_tokens = 0
        self.slots = self.room = self.rows = 0
        self.used = torch.zeros(0, dtype=torch.long)
        self._filled: slice | None = None
        self._mask = torch.zeros(0)

    # the interface of transformers' caches

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Hand keys and values on: the attention function stores them."""
        return key_states, value_states

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return the tokens of the prefix; models only ask for it when they are given no positions."""
        return self.prefix_tokens

    # the interface of the decoder

    def open_batch(self, rows: int, room: int, device: Any) -> None:
        """Allocate space for a batch; the prefix stays."""
        if (rows, room) != (self.slots, self.room):
            self.own = {}
        self.slots, self.room, self.rows = rows, room, rows
        self.used = torch.zeros(rows, dtype=torch.long, device=device)

    def fill(self, rows: slice) -> None:
        """The next forward pass reads prompts of these rows."""
        self._filled = rows

    def step(self) -> None:
        """The next forward pass reads one token of every row."""
        self._filled = None
        used = self.used[: self.rows]
        width = int(used.max()) + 1
        later = torch.arange(width, device=used.device) > used[:, None]
        self._mask = torch.zeros(later.shape, device=used.device).masked_fill_(later, float("-inf"))[:, None, None, :]

    def remove(self, row: int) -> None:
        """Let the last row take the place of a finished one."""
        self.rows -= 1
        last, width = self.rows, int(self.used[self.rows])
        if row != last:
            self.used[row] = self.used[last]
            for stretch in (part for pair in self.own.values() for part in pair):
                stretch[row, :, :width] = stretch[last, :, :width]

    # attention

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """Store this layer's keys and values; return attention shaped like `query` (rows, heads, tokens, D)."""
        if not self.slots:
            self.prefix[layer] = key.contiguous(), value.contiguous()
            read: Tensor = torch.nn.functional.scaled_dot_product_attention(
                query, key, value, is_causal=True, scale=scale, enable_gqa=True
            )
            return read
        keys, values = self._own(layer, key, value)
        if self._filled is not None:
            tokens = key.shape[2]
            keys[self._filled, :, :tokens], values[self._filled, :, :tokens] = key, value
            return self._with_prefix(layer, query, *_causal(query, key, value, scale), scale)
        rows, used = torch.arange(self.rows, device=key.device), self.used[: self.rows]
        keys[rows, :, used], values[rows, :, used] = key[:, :, 0], value[:, :, 0]
        return self._with_prefix(layer, query, *self._over_own(query, keys, values, scale), scale)

    def _own(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        if layer not in self.own:
            places = (self.slots, key.shape[1], self.room)
            self.own[layer] = key.new_zeros(*places, key.shape[3]), value.new_zeros(*places, value.shape[3])
        return self.own[layer]

    def _over_own(self, query: Tensor, keys: Tensor, values: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        """Attend with one query per row over the row's own tokens; the queries of a key head are handled as tokens."""
        rows, heads, _, size = query.shape
        width, key_heads = self._mask.shape[3], keys.shape[1]
        result, weight = _stretch(
            query.view(rows, key_heads, heads // key_heads, size),
            keys[:rows, :, :width],
            values[:rows, :, :width],
            self._mask.to(query.dtype),
            scale,
        )
        return result.reshape(rows, heads, 1, -1), weight.reshape(rows, heads, 1)

    def _with_prefix(self, layer: int, query: Tensor, own: Tensor, own_weight: Tensor, scale: float) -> Tensor:
        """Add the prefix's part to the result over a row's own tokens; a key head's queries go as one long row."""
        if not self.prefix_tokens:
            return own
        keys, values = self.prefix[layer]
        rows, heads, tokens, size = query.shape
        groups = (rows, keys.shape[1], heads // keys.shape[1] * tokens)
        together = query.reshape(*groups, size).transpose(0, 1).reshape(1, groups[1], rows * groups[2], size)
        result, weight = _stretch(together, keys, values, None, scale)
        result = result.view(groups[1], rows, groups[2], -1).transpose(0, 1).reshape(own.shape)
        weight = weight.view(groups[1], rows, groups[2]).transpose(0, 1).reshape(own_weight.shape)
        share = torch.sigmoid(weight - own_weight)[..., None]
        return torch.lerp(own.float(), result.float(), share).to(own.dtype)


def has_kernel(query: Tensor) -> bool:
    """Tell whether torch has a kernel here that gives the softmax's denominator as well."""
    return bool(query.device.type == "cpu")


def _stretch(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, scale: float) -> tuple[Tensor, Tensor]:
    """Return attention over one stretch and the logarithm of its softmax's denominator (rows, heads, tokens)."""
    if has_kernel(query):
        made: tuple[Tensor, Tensor] = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            query, keys, values, attn_mask=mask, scale=scale
        )
        return made[0], made[1].float()
    return by_hand(query, keys, values, mask, scale)


def by_hand(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, scale: float) -> tuple[Tensor, Tensor]:
    """Return the same as `_stretch` by plain products, on any device."""
    scores = (query @ keys.transpose(-1, -2)).float() * scale
    if mask is not None:
        scores = scores + mask
    weight = torch.logsumexp(scores, -1)
    return torch.exp(scores - weight[..., None]).to(values.dtype) @ values, weight


def _causal(query: Tensor, key: Tensor, value: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Return attention of every token over itself and those before it; padding is at the end, where nobody looks."""
    times = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(times, 1), value.repeat_interleave(times, 1)
    if has_kernel(query):
        made: tuple[Tensor, Tensor] = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            query, key, value, is_causal=True, scale=scale
        )
        return made[0], made[1].float()
    tokens = query.shape[2]
    later = torch.full((tokens, tokens), float("-inf"), device=query.device).triu(1)
    return by_hand(query, key, value, later, scale)


def shared_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attend over the cache that is in use (transformers' attention interface)."""
    memory = _reading.get()
    unsupported = [name for name in UNSUPPORTED if others.get(name) is not None]
    if memory is None or unsupported or attention_mask is not None:
        raise ModelUnsupported(f"its attention needs {', '.join(unsupported) or 'a mask'}")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return memory.attend(module.layer_idx, query, key, value, scale).transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, shared_attention)


@contextlib.contextmanager
def reading(model: Any, memory: SharedMemory) -> Iterator[None]:
    """Let a model read into `memory` within this block; afterwards it attends as before.

    The switch is the model's own, for every thread: call this under `LoadedModel.lock`.
    """
    before = model.config._attn_implementation
    token = _reading.set(memory)
    try:
        model.set_attn_implementation(NAME)
        with torch.inference_mode():
            yield
    finally:
        model.set_attn_implementation(before)
        _reading.reset(token)


class PrefixReader:
    """Reads a prefix, then batches of rows that go on from it, then one token of every row. Use within `reading`."""

    def __init__(self, model: Any, device: Any, memory: SharedMemory) -> None:
        self.model, self.device, self.memory = model, device, memory

    def read_prefix(self, ids: Sequence[int]) -> None:
        """Read what all rows begin with."""
        if ids:
            self._forward(torch.tensor([ids], device=self.device), torch.zeros(1, dtype=torch.long, device=self.device))
        self.memory.prefix_tokens = len(ids)

    def read_rows(self, rows: slice, prompts: Sequence[Sequence[int]]) -> None:
        """Read the rows' own tokens but for each one's last, which is the first that `step` reads."""
        width = max(map(len, prompts)) - 1
        if width:
            ids = torch.tensor(
                [[*prompt[:-1], *[0] * (width + 1 - len(prompt))] for prompt in prompts], device=self.device
            )
            self.memory.fill(rows)
            self._forward(ids, torch.full((len(prompts),), self.memory.prefix_tokens, device=self.device))
        self.memory.used[rows] = torch.tensor([len(prompt) - 1 for prompt in prompts], device=self.device)

    def step(self, tokens: Sequence[int]) -> Tensor:
        """Read one token of every row and return the logits (rows, vocabulary) of what follows."""
        self.memory.step()
        used = self.memory.used[: self.memory.rows]
        logits = self._forward(
            torch.tensor(tokens, device=self.device)[:, None], self.memory.prefix_tokens + used, is_asked=True
        )
        used += 1
        return logits[:, -1]

    def _forward(self, ids: Tensor, starts: Tensor, is_asked: bool = False) -> Tensor:
        """Read tokens (rows, width) from each row's start on; with `is_asked` return the logits after the last."""
        positions = starts[:, None] + torch.arange(ids.shape[1], device=self.device)
        kept: Tensor | int = 1 if is_asked else torch.empty(0, dtype=torch.long, device=self.device)
        logits: Tensor = self.model(
            input_ids=ids, position_ids=positions, past_key_values=self.memory, use_cache=True, logits_to_keep=kept
        ).logits
        return logits
