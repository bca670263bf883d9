"""Whether a model supports decoding with a shared prefix, by its configuration and by a trial."""

from __future__ import annotations

import weakref
from typing import Any

import torch

from tasks.inference.loading import LoadedModel
from tasks.inference.prefix import PrefixReader, SharedMemory, reading

# Rotary position scalings that depend on the text's length: a prefix read by itself would be rotated differently.
LENGTH_DEPENDENT = ("dynamic", "longrope")
_found: weakref.WeakKeyDictionary[LoadedModel, str | None] = weakref.WeakKeyDictionary()


def why_unsupported(loaded: LoadedModel) -> str | None:
    """Return why a model does not support a shared prefix, or None if it does; computed once per loaded model."""
    with loaded.lock:
        if loaded not in _found:
            _found[loaded] = _by_config(loaded.model.config.get_text_config()) or _by_trial(loaded)
        return _found[loaded]


def _by_config(config: Any) -> str | None:
    kinds = set(getattr(config, "layer_types", None) or ())
    if kinds - {"full_attention"}:
        return f"it has {', '.join(sorted(kinds - {'full_attention'}))} layers"
    if not kinds and getattr(config, "sliding_window", None):
        return f"its sliding-window attention sees only the last {config.sliding_window} tokens"
    scaling = (getattr(config, "rope_parameters", None) or {}).get("rope_type")
    return f"its {scaling} RoPE scaling depends on the text's length" if scaling in LENGTH_DEPENDENT else None


def _by_trial(loaded: LoadedModel) -> str | None:
    """Compare the logits of two short prompts with a common prefix with those of a plain forward pass."""
    ids = [(place * 7 + 3) % min(loaded.model.config.get_text_config().vocab_size, 1000) for place in range(14)]
    rows = [[*ids[:6], *ids[6:11]], [*ids[:6], *ids[8:14], ids[6]]]
    try:
        apart = max(
            _distance(loaded, row, logits) for row, logits in zip(rows, _shared_logits(loaded, rows, 6), strict=True)
        )
    except Exception as fault:  # noqa: BLE001  (any architecture may be tried, and each fails in its own way)
        return f"{type(fault).__name__}: {fault}"
    # Rounding moves logits by far less than the square root of the format's precision, an error by about their range.
    is_close = apart < torch.finfo(loaded.dtype).eps ** 0.5
    return None if is_close else f"its logits would change by {apart:.1e} of their range"


def _shared_logits(loaded: LoadedModel, rows: list[list[int]], shared: int) -> Any:
    memory = SharedMemory()
    reader = PrefixReader(loaded.model, loaded.device, memory)
    with reading(loaded.model, memory):
        reader.read_prefix(rows[0][:shared])
        memory.open_batch(len(rows), max(map(len, rows)) + 1, loaded.device)
        reader.read_rows(slice(0, len(rows)), [row[shared:-1] for row in rows])
        reader.step([row[-2] for row in rows])
        return reader.step([row[-1] for row in rows])


def _distance(loaded: LoadedModel, row: list[int], logits: Any) -> float:
    """Return how far logits are from those of a plain forward pass, as a fraction of their range."""
    with torch.inference_mode():
        true = loaded.model(input_ids=torch.tensor([row], device=loaded.device), use_cache=False).logits[0, -1].float()
    return float((logits.float() - true).abs().max() / (true.max() - true.min()))
