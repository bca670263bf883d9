"""The plain base in 4 bits, weights in blocks of 64: NormalFloat loses least, FP4 more, evenly spaced integers most."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[3]


def evenly(weight: torch.Tensor) -> torch.Tensor:
    """Round to 15 even steps between the block's largest absolute weight and its negative."""
    blocks = weight.flatten().view(-1, 64)
    step = blocks.abs().amax(1, keepdim=True) / 7
    return ((blocks / step).round() * step).view_as(weight)


def by_library(kind: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """Round to what bitsandbytes makes of it."""
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    return lambda weight: torch.as_tensor(
        dequantize_4bit(*quantize_4bit(weight.contiguous(), blocksize=64, quant_type=kind))
    )


@pytest.mark.slow
@pytest.mark.model
def test_nf4_is_nearer_to_the_plain_base_than_fp4_and_fp4_than_evenly_spaced_integers(smollm2: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # On few texts the order is chance: over the 768 tokens of the demo's policies alone FP4 came out before NF4.
    pages = [
        *sorted((ROOT / "docs").glob("*.md")),
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "configs" / "demo" / "policies").glob("*")),
    ]
    tokens = [
        AutoTokenizer.from_pretrained(smollm2)(page.read_text(encoding="utf-8"))["input_ids"][:256] for page in pages
    ]
    ids = torch.tensor([page for page in tokens if len(page) == 256])
    losses = []
    for rounded in (None, by_library("nf4"), by_library("fp4"), evenly):
        model = AutoModelForCausalLM.from_pretrained(smollm2, dtype=torch.float32)
        with torch.no_grad():
            for layer in model.model.layers.modules():
                if rounded is not None and isinstance(layer, torch.nn.Linear):
                    layer.weight.copy_(rounded(layer.weight))
            logits = model(ids, use_cache=False).logits[:, :-1]
            losses.append(torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()).item())
    print(losses)
    assert losses == sorted(losses) and len(set(losses)) == 4
