"""What is decided before the first step, by the memory that there is, and what later fits on the machine know of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from schemas.errors import MachineLacks
from schemas.sections.training import TrainingConfig
from tasks.reuse.store import ArtifactStore
from tasks.training.running import decisions as deciding
from tasks.training.running import memory_probe
from tasks.training.running.machine_notes import known_floor, known_limit, note_limit, size_key
from tasks.training.running.trainer import PackedTrainer
from tests.training.examples import RecordingReporter, fit


def lines_of(base: Path, folder: Path, **settings: Any) -> list[str]:
    """Fit a few steps and return the lines that were reported."""
    recorded = RecordingReporter()
    fit(base, folder, recorded, epochs=0.3, **settings)
    return recorded.lines


def test_the_decisions_report_memory_by_its_parts_and_the_probe(tiny_model: Path, tmp_path: Path) -> None:
    lines = lines_of(tiny_model, tmp_path / "workdir")
    assert any("GB at the peak" in line and "takes up" in line and "weights" in line for line in lines)
    assert any(line.startswith("probe: the largest pack (") for line in lines)
    assert (known_floor(ArtifactStore(tmp_path / "store")) or 0) > 50e6


@pytest.mark.slow
def test_checkpointing_is_on_by_itself_only_where_the_longest_row_would_not_fit(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert any(
        line.startswith("checkpointing: off: the longest row needs")
        for line in lines_of(tiny_model, tmp_path / "roomy")
    )
    monkeypatch.setattr(deciding, "room_for_packs", lambda held, device: 100_000)
    assert any(
        line.startswith("checkpointing: on: the longest row needs") for line in lines_of(tiny_model, tmp_path / "tight")
    )
    assert json.loads((tmp_path / "tight" / "decisions.json").read_text())["checkpointing"] is True
    assert any(
        line == "checkpointing: never, as configured"
        for line in lines_of(tiny_model, tmp_path / "message", gradient_checkpointing="never")
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [{"method": "lora", "dropout": 0.1}, {"method": "qlora"}, {"method": "full"}],
    ids=["lora", "qlora", "full"],
)
def test_checkpointing_changes_no_bit(tiny_model: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    logs = []
    for choice in ("never", "always"):
        fit(tiny_model, tmp_path / choice, epochs=1, gradient_checkpointing=choice, **settings)
        logs.append((tmp_path / choice / "out" / "log.jsonl").read_text())
    assert logs[0] == logs[1]


@pytest.mark.slow
def test_a_probe_that_runs_out_of_memory_halves_the_packs_before_the_first_step_and_later_fits_start_there(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute, tried = memory_probe.pack_loss, []

    def short(model: Any, head: Any, pack: Any, device: Any) -> torch.Tensor:
        tried.append(pack.input_ids.shape[1])
        if len(tried) == 1:
            raise MemoryError
        return compute(model, head, pack, device)

    monkeypatch.setattr(memory_probe, "pack_loss", short)
    lines = lines_of(tiny_model, tmp_path / "workdir")
    capacity = json.loads((tmp_path / "workdir" / "decisions.json").read_text())["capacity"]
    assert capacity == tried[0] // 2
    assert any(f"probe: out of memory with a pack of {tried[0]} tokens; trying {capacity}" in line for line in lines)
    again = lines_of(tiny_model, tmp_path / "again")
    assert json.loads((tmp_path / "again" / "decisions.json").read_text())["capacity"] == capacity
    assert any("larger packs ran out of memory here before" in line for line in again)


@pytest.mark.slow
def test_memory_that_runs_out_in_a_step_is_remembered_for_this_method_and_no_other(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute, sizes = PackedTrainer.pack_loss, []

    def short(self: PackedTrainer, model: Any, pack: Any) -> torch.Tensor:
        sizes.append(pack.input_ids.shape[1])
        if len(sizes) == 2:
            raise MemoryError
        return compute(self, model, pack)

    monkeypatch.setattr(PackedTrainer, "pack_loss", short)
    fit(tiny_model, tmp_path / "workdir", epochs=1)
    capacity = json.loads((tmp_path / "workdir" / "decisions.json").read_text())["capacity"]
    fit(tiny_model, tmp_path / "same", epochs=0.3)
    fit(tiny_model, tmp_path / "other", epochs=0.3, method="qlora")
    kept, other = (
        json.loads((tmp_path / name / "decisions.json").read_text())["capacity"] for name in ("same", "other")
    )
    assert kept == capacity < other


def test_a_damaged_note_of_pack_sizes_is_ignored(tmp_path: Path) -> None:
    store, training = ArtifactStore(tmp_path), TrainingConfig()
    key = size_key(Path("/store/artifacts/0123456789abcdef0123"), training, 200, "cpu")
    note_limit(store, key, 300)
    assert known_limit(store, key) == 300
    assert known_limit(store, size_key(Path("/store/artifacts/0123456789abcdef0123"), training, 201, "cpu")) is None
    (tmp_path / "machine" / "training.json").write_text("{")
    assert known_limit(store, key) is None


@pytest.mark.parametrize("optimizer", ["adamw_8bit", "paged_adamw", "paged_adamw_8bit"])
def test_an_optimiser_of_the_card_is_refused_without_one(tiny_model: Path, tmp_path: Path, optimizer: str) -> None:
    with pytest.raises(
        MachineLacks,
        match=rf'training.optimizer "{optimizer}" needs a CUDA card, and this machine trains on its cpu. Set "adamw"',
    ):
        fit(tiny_model, tmp_path / "workdir", optimizer=optimizer)
    assert not (tmp_path / "workdir" / "checkpoints").exists()
