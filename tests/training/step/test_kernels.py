"""Liger's kernels are for cards: they are asked for what lives in the model there, and never on a CPU."""

from __future__ import annotations

import importlib.machinery
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch

from schemas.sections.training import TrainingConfig
from tasks.training.adapters.methods import load_model
from tasks.training.step.kernels import fuse_norms_and_gates, has_liger, kernels_line
from tests.training.examples import RecordingReporter, fit


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Stand in for an installed Liger that notes what it is asked for: it cannot be loaded without a card."""
    calls: list[dict[str, Any]] = []
    package, part = types.ModuleType("liger_kernel"), types.ModuleType("liger_kernel.transformers")
    package.__spec__ = importlib.machinery.ModuleSpec("liger_kernel", None)
    part._apply_liger_kernel_to_instance = lambda **settings: calls.append(settings)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "liger_kernel", package)
    monkeypatch.setitem(sys.modules, "liger_kernel.transformers", part)
    return calls


def test_on_a_card_liger_takes_norms_and_gates_and_neither_the_loss_nor_what_is_of_the_whole_process(
    tiny_model: Path, asked: list[dict[str, Any]]
) -> None:
    model = load_model(tiny_model, TrainingConfig(method="lora", rank=4), torch.float32, "cpu")
    assert not asked  # installed, and still not for a CPU
    fuse_norms_and_gates(model, "cuda")
    assert asked == [
        {
            "model": model.get_base_model(),
            "rms_norm": True,
            "swiglu": True,
            "rope": False,
            "cross_entropy": False,
            "fused_linear_cross_entropy": False,
        }
    ]
    assert "Liger's norms" in kernels_line("cuda")


def test_without_liger_the_decisions_name_our_own_norms_and_why(tiny_model: Path, tmp_path: Path) -> None:
    assert not has_liger("cpu") and "not installed" in kernels_line("cuda")
    recorded = RecordingReporter()
    fit(tiny_model, tmp_path / "workdir", recorded, epochs=0.3)
    assert "kernels: our own norms, as Liger's kernels need a CUDA card" in recorded.lines


def test_what_liger_replaces_in_transformers_is_put_back(
    tiny_model: Path, asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.models.llama import modeling_llama

    before = modeling_llama.LlamaRMSNorm
    part = sys.modules["liger_kernel.transformers"]
    monkeypatch.setattr(
        part, "_apply_liger_kernel_to_instance", lambda **_: setattr(modeling_llama, "LlamaRMSNorm", object)
    )
    model = load_model(tiny_model, TrainingConfig(method="lora", rank=4), torch.float32, "cpu")
    fuse_norms_and_gates(model, "cuda")
    assert modeling_llama.LlamaRMSNorm is before
