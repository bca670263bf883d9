"""Whether a model can be read with a shared prefix: what its configuration says, and what it does when it is tried."""

from __future__ import annotations

import weakref
from typing import Any

import torch

from tasks.inference.loading import LoadedModel
from tasks.inference.prefix import PrefixReader, SharedMemory, reading

# Turning of positions that depends on how long a text has become: a prefix read by itself would be turned otherwise.
LENGTH_DEPENDENT = ("dynamic", "longrope")
_found: weakref.WeakKeyDictionary[LoadedModel, str | None] = weakref.WeakKeyDictionary()


def unsuited(loaded: LoadedModel) -> str | None:
    """Return why a model cannot be read with a shared prefix, or None when it can; found once per loaded model."""
    with loaded.lock:
        if loaded not in _found:
            _found[loaded] = _by_config(loaded.model.config.get_text_config()) or _by_trial(loaded)
        return _found[loaded]


def _by_config(config: Any) -> str | None:
    kinds = set(getattr(config, "layer_types", None) or ())
    if kinds - {"full_attention"}:
        return f"it has layers of {', '.join(sorted(kinds - {'full_attention'}))}"
    if not kinds and getattr(config, "sliding_window", None):
        return f"its attention sees the last {config.sliding_window} tokens only"
    turning = (getattr(config, "rope_parameters", None) or {}).get("rope_type")
    return (
        f"its positions are turned by the {turning} rule, which depends on the length"
        if turning in LENGTH_DEPENDENT
        else None
    )


def _by_trial(loaded: LoadedModel) -> str | None:
    """Compare the logits of two short prompts that begin alike with those of a plain pass."""
    ids = [(place * 7 + 3) % min(loaded.model.config.get_text_config().vocab_size, 1000) for place in range(14)]
    rows = [[*ids[:6], *ids[6:11]], [*ids[:6], *ids[8:14], ids[6]]]
    try:
        apart = max(
            _distance(loaded, row, logits) for row, logits in zip(rows, _shared_logits(loaded, rows, 6), strict=True)
        )
    except Exception as fault:  # noqa: BLE001  (an architecture of any kind may stand here, and each fails in its own way)
        return f"{type(fault).__name__}: {fault}"
    # Rounding moves logits by far less than the root of a format's precision, a fault by about their whole range.
    return (
        None if apart < torch.finfo(loaded.dtype).eps ** 0.5 else f"its logits would move by {apart:.1e} of their range"
    )


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
    """Return how far logits are from a plain pass's, as a part of the plain ones' range."""
    with torch.inference_mode():
        true = loaded.model(input_ids=torch.tensor([row], device=loaded.device), use_cache=False).logits[0, -1].float()
    return float((logits.float() - true).abs().max() / (true.max() - true.min()))
