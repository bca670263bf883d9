"""What a fit reports after each step is true."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from schemas.sections.training import TrainingConfig
from tasks.training.adapters.methods import load_model
from tasks.training.running.callback import time_left
from tasks.training.step import roofline
from tasks.training.step.roofline import matmul_roofline
from tests.training.examples import RecordingReporter, fit, token_rows


class MeasurementReporter(RecordingReporter):
    """Records notes and measurements too."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []
        self.numbers: list[tuple[int, dict[str, float]]] = []

    def advance(self, done: float, total: float, note: str = "") -> None:
        """Record a note."""
        super().advance(done, total, note)
        self.notes.append(note)

    def measured(self, step: int, numbers: dict[str, float]) -> None:
        """Record numbers."""
        self.numbers.append((step, numbers))


@pytest.mark.slow
def test_each_step_reports_loss_speed_share_of_the_roofline_and_time_left(tiny_model: Path, tmp_path: Path) -> None:
    recorded = MeasurementReporter()
    fitted = fit(tiny_model, tmp_path / "workdir", recorded, epochs=2)
    assert all(
        re.fullmatch(r"loss \d+\.\d\d · [\d,]+ tokens/s \(\d+% of the matmul roofline\) · \d+ s left", note)
        for note in recorded.notes
    )
    assert recorded.notes[-1].endswith(" 0 s left")
    losses = {step: numbers["loss"] for step, numbers in recorded.numbers if "loss" in numbers}
    assert sorted(losses) == list(range(1, fitted.steps + 1))
    assert min(
        numbers["validation_loss"] for _, numbers in recorded.numbers if "validation_loss" in numbers
    ) == pytest.approx(fitted.validation_loss, abs=1e-6)
    assert all(numbers["tokens_per_s"] > 0 for _, numbers in recorded.numbers if "tokens_per_s" in numbers)


@pytest.mark.parametrize(("method", "passes"), [("lora", 4), ("qlora", 4), ("full", 6)])
def test_the_roofline_is_the_rate_of_products_over_the_operations_of_a_token(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, method: Any, passes: int
) -> None:
    rows = token_rows()
    monkeypatch.setattr(roofline, "product_rate", lambda *_: 1e9)
    model = load_model(tiny_model, TrainingConfig(method=method, rank=1), torch.float32, "cpu")
    adapters = (
        0
        if method == "full"
        else 6 * sum(weight.numel() for name, weight in model.named_parameters() if "lora_" in name)
    )
    layers = 2 * (64 * 64 * 2 + 64 * 32 * 2 + 64 * 128 * 3)
    answered = sum(len(row.answer_ids) for row in rows) / sum(row.tokens for row in rows)
    assert matmul_roofline(model, rows, torch.float32) == pytest.approx(
        1e9 / (passes * (layers + answered * 64 * 384) + adapters)
    )


def test_time_left_is_in_seconds_minutes_or_hours() -> None:
    assert [time_left(seconds) for seconds in (0.2, 89, 600, 7200)] == [
        "0 s left",
        "89 s left",
        "10 min left",
        "2.0 h left",
    ]
