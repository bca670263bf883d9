"""Running out of memory makes packs smaller; rows, steps and numbers stay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from schemas.errors import MachineLacks
from tasks.reuse.memory import is_out_of_memory
from tasks.training.running.trainer import PackedTrainer
from tests.training.examples import RecordingReporter, fit

CPU = (
    "[enforce fail at alloc_cpu.cpp:123] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
    "9 bytes. Error code 12"
)


def losses(folder: Path) -> list[float]:
    """Every loss of the log, of steps and of validation."""
    log = [json.loads(line) for line in (folder / "out" / "log.jsonl").read_text().splitlines()]
    return [entry.get("loss", entry.get("validation_loss")) for entry in log]


def run_short(monkeypatch: pytest.MonkeyPatch, fault: BaseException, at: tuple[int, bool]) -> list[int]:
    """Let memory run out once, in the backward pass of a step's first pack or in validation; return its size and those
    of later packs of several rows.
    """
    compute, sizes = PackedTrainer.pack_loss, []

    def short(self: PackedTrainer, model: Any, pack: Any) -> torch.Tensor:
        loss = compute(self, model, pack)
        if (self.state.global_step, model.training) == at and not sizes:
            sizes.append(pack.input_ids.shape[1])
            if model.training:
                (loss / 7).backward()
            raise fault
        if sizes and len(pack.row_ids) > 1:
            sizes.append(pack.input_ids.shape[1])
        return loss

    monkeypatch.setattr(PackedTrainer, "pack_loss", short)
    return sizes


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [RuntimeError(CPU), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), MemoryError()],
    ids=["cpu", "cuda", "python"],
)
def test_a_fit_that_ran_out_of_memory_ends_as_an_undisturbed_one(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    undisturbed = fit(tiny_model, tmp_path / "whole")
    sizes, recorded = run_short(monkeypatch, fault, (3, True)), RecordingReporter()
    shrunk = fit(tiny_model, tmp_path / "short", recorded)
    assert losses(tmp_path / "short") == pytest.approx(losses(tmp_path / "whole"), abs=2e-6)  # the log rounds to 1e-6
    assert (shrunk.steps, shrunk.train_tokens) == (undisturbed.steps, undisturbed.train_tokens)
    capacity = json.loads((tmp_path / "short" / "decisions.json").read_text())["capacity"]
    assert capacity == sizes[0] // 2 and max(sizes[1:]) <= capacity
    assert any(
        f"out of memory at step 4: continuing with packs of at most {capacity} tokens instead of" in line
        for line in recorded.lines
    )


@pytest.mark.slow
def test_running_out_of_memory_in_validation_makes_packs_smaller_too(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(tiny_model, tmp_path / "whole", epochs=2)
    steps = len(
        [line for line in (tmp_path / "whole" / "out" / "log.jsonl").read_text().splitlines() if '"loss"' in line]
    )
    sizes = run_short(monkeypatch, MemoryError(), (steps // 2, False))
    fit(tiny_model, tmp_path / "short", epochs=2)
    assert sizes
    assert losses(tmp_path / "short") == pytest.approx(losses(tmp_path / "whole"), abs=2e-6)


def test_a_row_that_does_not_fit_alone_ends_training_with_its_number(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(self: PackedTrainer, model: Any, pack: Any) -> torch.Tensor:
        raise RuntimeError(CPU)

    monkeypatch.setattr(PackedTrainer, "pack_loss", never)
    recorded = RecordingReporter()
    with pytest.raises(
        MachineLacks, match=r"a single row in a pass: row \d+ of \d+ tokens does not fit into memory with the model"
    ):
        fit(tiny_model, tmp_path / "workdir", recorded)
    assert sum("out of memory at step 1" in line for line in recorded.lines) > 1


def test_an_error_of_another_kind_is_not_taken_for_a_lack_of_memory(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_short(monkeypatch, RuntimeError("mat1 and mat2 shapes cannot be multiplied"), (0, True))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        fit(tiny_model, tmp_path / "workdir")
    assert not is_out_of_memory(ValueError("out of memory"))
