"""Two processes have the losses of one at every step, and stop, fail and resume as one does."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import MachineLacks, TrainingStopped
from tasks.reuse.stage import WorkDirectory
from tasks.reuse.store import ArtifactStore
from tasks.training import fitting
from tasks.training.fitting import train
from tasks.training.running.checkpoints import newest_whole
from tasks.training.running.devices import refuse_too_many, run_on_devices, spread_environment
from tasks.training.running.trainer import PackedTrainer
from tasks.training.step.packing import share_rows
from tests.training.examples import RecordingReporter, fit, sealed_digest, token_rows, write_rows

CONFIGS = Path(__file__).parents[3] / "configs" / "accelerate"


@given(st.integers(1, 40), st.integers(0, 6), st.integers(1, 400), st.integers(2, 5), st.integers(0, 100))
def test_every_row_is_in_one_process_and_all_processes_make_the_same_number_of_passes(
    count: int, prefix: int, capacity: int, processes: int, seed: int
) -> None:
    rows = token_rows(count, seed)
    shared = share_rows(rows, prefix, capacity, processes)
    assert len(shared) == processes and len({len(packs) for packs in shared}) == 1
    counted = [pack for packs in shared for pack in packs if pack.weight]
    assert sorted(row for pack in counted for row in pack.row_ids) == [row.row_id for row in rows]
    assert all(len(pack.row_ids) == 1 or pack.input_ids.shape[1] <= capacity for pack in counted)


def entries(folder: Path) -> list[dict[str, Any]]:
    """Return the log of a fit."""
    return [json.loads(line) for line in (folder / "out" / "log.jsonl").read_text().splitlines()]


def losses(folder: Path) -> list[float]:
    """Return every loss of a fit, of steps and of validation."""
    return [entry.get("loss", entry.get("validation_loss")) for entry in entries(folder)]


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one_at_every_step(tiny_model: Path, tmp_path: Path) -> None:
    one = fit(tiny_model, tmp_path / "one", epochs=2)
    recorded = RecordingReporter()
    two = fit(tiny_model, tmp_path / "two", recorded, epochs=2, devices=2)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-4)
    assert (two.steps, two.train_tokens, two.parameters) == (one.steps, one.train_tokens, one.parameters)
    assert recorded.steps == list(range(1, one.steps + 1))
    assert sealed_digest(tmp_path / "two").keys() == sealed_digest(tmp_path / "one").keys()


class SigtermAt(RecordingReporter):
    """Sends SIGTERM to this process, the parent, at a step."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def advance(self, done: float, total: float, note: str = "") -> None:
        """Send it at the step."""
        super().advance(done, total, note)
        if done == self.step:
            signal.raise_signal(signal.SIGTERM)


@pytest.mark.long
@pytest.mark.slow
def test_processes_that_are_asked_to_stop_save_and_one_process_resumes_where_they_stopped(
    tiny_model: Path, tmp_path: Path
) -> None:
    whole: dict[str, Any] = {"method": "full", "epochs": 2}
    fit(tiny_model, tmp_path / "one", **whole)
    with pytest.raises(TrainingStopped, match=r"training stopped after step \d+ of .* The same command resumes there"):
        fit(tiny_model, tmp_path / "two", SigtermAt(3), **whole, devices=2)
    saved = newest_whole(tmp_path / "two")
    assert saved is not None
    recorded = RecordingReporter()
    fit(tiny_model, tmp_path / "two", recorded, **whole)
    assert recorded.steps[0] == int(saved.name[-6:]) + 1
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-4)


def train_with_little_memory(*args: Any, workdir: Any, **settings: Any) -> Any:
    """Train as `train` does; in the second process memory runs out once, in the third step."""
    compute, marker = PackedTrainer.pack_loss, workdir.folder / "ran out"

    def short(self: PackedTrainer, model: Any, pack: Any) -> Any:
        if self.state.global_step == 2 and self.args.process_index == 1 and not marker.exists():
            marker.touch()
            raise MemoryError
        return compute(self, model, pack)

    PackedTrainer.pack_loss = short  # in a process of its own
    return train(*args, workdir=workdir, **settings)


@pytest.mark.long
@pytest.mark.slow
def test_when_memory_runs_out_in_one_process_all_continue_with_smaller_packs_and_the_same_losses(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(tiny_model, tmp_path / "one", epochs=1)
    monkeypatch.setattr(fitting, "train", train_with_little_memory)
    recorded = RecordingReporter()
    fit(tiny_model, tmp_path / "two", recorded, epochs=1, devices=2)
    assert "all processes start again from the last checkpoint" in recorded.lines
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-4)
    one, two = (json.loads((tmp_path / name / "decisions.json").read_text())["capacity"] for name in ("one", "two"))
    assert two < one


def wait_or_end(workdir: Any, stop: Any) -> None:
    """Wait in the first process for the second one, which ends by a signal."""
    if os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    torch.distributed.barrier()


@pytest.mark.long
@pytest.mark.slow
def test_a_process_that_is_killed_ends_the_others_and_is_named(tmp_path: Path) -> None:
    workdir = WorkDirectory(tmp_path, ArtifactStore(tmp_path / "store"), RecordingReporter())
    with pytest.raises(TrainingStopped, match=r"A training process ended unexpectedly: process 1 terminated with"):
        run_on_devices(wait_or_end, 2, "cpu", workdir)
    assert not multiprocessing.active_children()


@pytest.mark.long
@pytest.mark.slow
def test_no_process_outlives_a_parent_that_was_killed(tiny_model: Path, tmp_path: Path) -> None:
    script = Path(__file__).parents[1] / "examples.py"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    places = [str(tiny_model), str(tmp_path / "two"), str(write_rows(tmp_path))]
    command = [sys.executable, "-W", "ignore", str(script), *places, "0", "1000", "2"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as parent:
        assert any(line.startswith("step 2") for line in parent.stdout or ())
        children = psutil.Process(parent.pid).children(recursive=True)
        assert len(children) >= 2
        parent.kill()
        parent.wait()
        end = time.monotonic() + 30
        while left := [child for child in children if is_alive(child)]:
            assert time.monotonic() < end, left
            time.sleep(0.1)


def is_alive(process: psutil.Process) -> bool:
    """Return whether a process still runs; one that nobody has reaped does not."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.mark.long
@pytest.mark.slow
def test_what_one_process_refuses_is_raised_with_its_words(tiny_model: Path, tmp_path: Path) -> None:
    settings = {"learning_rate": 1.0, "alpha": 1e30, "epochs": 20, "patience": 99}
    with pytest.raises(TrainingStopped, match=r"(loss|gradient) of step \d+ is not a finite number"):
        fit(tiny_model, tmp_path / "two", devices=2, method="lora", **settings)


@pytest.mark.parametrize(("name", "kind"), [("fsdp_qlora", "FSDP"), ("zero3", "DEEPSPEED")])
def test_processes_get_the_environment_of_a_shipped_accelerate_config_that_says_it_was_not_run(
    name: str, kind: str
) -> None:
    path = CONFIGS / f"{name}.yaml"
    environment = spread_environment(str(path), 2)
    used = {each for each in ("FSDP", "DEEPSPEED") if environment.get(f"ACCELERATE_USE_{each}") == "true"}
    assert used == {kind} and environment["ACCELERATE_MIXED_PRECISION"] == "bf16"
    assert "NOT RUN ON REAL CARDS" in path.read_text()


def test_every_shipped_config_is_among_those_above() -> None:
    assert sorted(path.stem for path in CONFIGS.iterdir()) == ["fsdp_qlora", "zero3"]


def test_more_processes_than_cards_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    refuse_too_many(2, "cuda")
    refuse_too_many(3, "cpu")
    with pytest.raises(MachineLacks, match=r"training.devices 4: this machine has 2. Allowed here: 1 to 2"):
        refuse_too_many(4, "cuda")
