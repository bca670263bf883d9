"""The number format follows from the machine: its flags first, and what its products take."""

from __future__ import annotations

import pytest
import torch

from tasks.inference import precision
from tasks.inference.precision import best_precision, measured_gain


@pytest.mark.parametrize(
    ("flags", "gain", "chosen"),
    [
        ({"avx2"}, 0.3, torch.float32),
        ({"avx2"}, 1.1, torch.float32),
        ({"avx2", "avx512f"}, 1.5, torch.bfloat16),
        ({"avx512_bf16"}, 1.0, torch.bfloat16),
        ({"avx512_bf16"}, 0.5, torch.float32),
    ],
)
def test_bf16_is_taken_where_it_pays(
    flags: set[str], gain: float, chosen: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_processor_flags", lambda: flags)
    monkeypatch.setattr(precision, "measured_gain", lambda: gain)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    found = best_precision.__wrapped__()
    assert found.dtype is chosen
    assert ("has no bf16 units" in found.reason) == ("avx512_bf16" not in flags)


def test_measuring_leaves_the_number_of_threads_as_it_was() -> None:
    torch.set_num_threads(3)
    try:
        assert measured_gain(8, 16, 16) > 0
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(1)
