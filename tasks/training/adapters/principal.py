"""PiSSA's way back to the sealed base.

PiSSA starts an adapter from a layer's principal directions, W = R + s B0 A0, and trains it beside the rest R. An
adapter is sealed to be put beside W, which nobody changes: R + s B A = W + s [B, -B0] [A; A0], an ordinary LoRA adapter
of twice the rank and the same scale. The two halves nearly cancel, which a coarse number format would not survive, so
the difference is made once, here, and factored anew.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from tasks.training.adapters.sealing import ADAPTER_CONFIG, ADAPTER_WEIGHTS, write_json
from tasks.training.running.resuming import facts_of, fresh_aside, put_in_place

START = "start"


def keep_start(model: Any, folder: Path) -> None:
    """Keep the adapters as they were before the first step, once per fit, in folder/start."""
    if facts_of(folder / START) is not None:
        return
    aside = fresh_aside(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft looks for the base's config under a name that is not on the hub
        model.save_pretrained(aside)
    (aside / "README.md").unlink(missing_ok=True)
    put_in_place(aside, folder / START, {})


def subtract_start(start: Path, sealed: Path) -> None:
    """Turn a sealed PiSSA adapter into the ordinary one that stands beside the unchanged base."""
    from safetensors.torch import load_file, save_file

    before, after = (load_file(folder / ADAPTER_WEIGHTS) for folder in (start, sealed))
    joined = dict(after)
    for down in (name for name in after if ".lora_A." in name):
        up = down.replace(".lora_A.", ".lora_B.")
        joined[down], joined[up] = _difference(after[down], after[up], before[down], before[up])
    save_file(joined, sealed / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    config = json.loads((sealed / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    doubled = {"r": 2 * config["r"], "lora_alpha": 2 * config["lora_alpha"], "init_lora_weights": True}
    write_json(sealed / ADAPTER_CONFIG, config | doubled)


def _difference(down: Any, up: Any, first_down: Any, first_up: Any) -> tuple[Any, Any]:
    """Return factors (2r, in) and (out, 2r) of up @ down - first_up @ first_down, for factors (r, in) and (out, r)."""
    import torch
    from torch.nn.functional import pad

    ups, upper = torch.linalg.qr(torch.cat([up, -first_up], dim=1).double())
    downs, lower = torch.linalg.qr(torch.cat([down, first_down]).double().t())
    left, sizes, right = torch.linalg.svd(upper @ lower.t(), full_matrices=False)
    missing = 2 * down.shape[0] - len(sizes)  # a layer smaller than twice the rank has fewer directions
    made = (
        pad((right * sizes.sqrt()[:, None]) @ downs.t(), (0, 0, 0, missing)),
        pad(ups @ (left * sizes.sqrt()), (0, missing)),
    )
    return tuple(factor.to(down.dtype).contiguous() for factor in made)
