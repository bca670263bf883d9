"""A base's norms and gates as one operation each: Liger's kernels on a CUDA card if installed, else our own norm."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

from tasks.training.step.norms import fuse_norms

# Liger's norms and gates only: its rotation replaces a function of transformers for the whole process, inference on a
# CPU included, and its loss would replace ours (tasks/training/step/loss.py).
CHOSEN = {"rms_norm": True, "swiglu": True, "rope": False, "cross_entropy": False, "fused_linear_cross_entropy": False}


def has_liger(device: str) -> bool:
    """Return whether Liger's kernels (github.com/linkedin/Liger-Kernel) are installed and run on this device."""
    return device == "cuda" and importlib.util.find_spec("liger_kernel") is not None


def fuse_norms_and_gates(model: Any, device: str) -> None:
    """Compute each norm (and with Liger each gate) as one operation; a base that Liger does not know stays."""
    if has_liger(device):
        from liger_kernel.transformers import _apply_liger_kernel_to_instance

        base = model.get_base_model()
        module = vars(sys.modules[type(base).__module__])
        before = dict(module)
        _apply_liger_kernel_to_instance(model=base, **CHOSEN)
        module.update(before)  # it replaces classes of transformers as well, and models that are loaded later have them
    else:
        fuse_norms(model)


def kernels_line(device: str) -> str:
    """Return which kernels are used, and why, as the decisions are reported."""
    if has_liger(device):
        return "kernels: Liger's norms and gates, as liger-kernel is installed and there is a CUDA card"
    reason = "liger-kernel is not installed" if device == "cuda" else "Liger's kernels need a CUDA card"
    return f"kernels: our own norms, as {reason}"
