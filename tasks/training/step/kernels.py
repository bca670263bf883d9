"""Norms and gates of a base as one operation each: Liger's kernels on a CUDA card where they are installed, this
house's own norm elsewhere.
"""

from __future__ import annotations

import importlib.util
from typing import Any

from tasks.training.step.norms import join_norms

# What is switched on of Liger: what lives in the model. Its rotation replaces a function of transformers for the whole
# process, answering on a CPU included, and its loss would stand where ours stands (tasks/training/step/loss.py).
CHOSEN = {"rms_norm": True, "swiglu": True, "rope": False, "cross_entropy": False, "fused_linear_cross_entropy": False}


def has_liger(device: str) -> bool:
    """Tell whether Liger's kernels (github.com/linkedin/Liger-Kernel) are to be used: they are written for cards."""
    return device == "cuda" and importlib.util.find_spec("liger_kernel") is not None


def join_operations(model: Any, device: str) -> None:
    """Replace what is many operations by one; names, weights and the meaning of the numbers stay. A base that Liger
    does not know stays as it is.
    """
    if has_liger(device):
        from liger_kernel.transformers import _apply_liger_kernel_to_instance

        _apply_liger_kernel_to_instance(model=model.get_base_model(), **CHOSEN)
    else:
        join_norms(model)


def kernels_line(device: str) -> str:
    """Return what is used, and why, as the decisions say it."""
    if has_liger(device):
        return "kernels: Liger's norms and gates, as it is installed and there is a card"
    missing = "liger-kernel is not installed" if device == "cuda" else "Liger's need a CUDA card"
    return f"kernels: our own norms; {missing}"
