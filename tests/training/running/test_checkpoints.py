"""A fit that was interrupted at any moment ends in the bytes of an uninterrupted one."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import TrainingStopped
from tasks.training.running.checkpoints import is_whole, newest_whole, put_in_place, read_state
from tasks.training.running.stopping import is_out_of_patience, stoppable
from tasks.training.running.trainer import PackedTrainer
from tests.training.examples import RecordingReporter, fit, sealed_digest, write_rows


class PowerCut(Exception):
    """Stands for the end of the process."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [{"method": "lora", "dropout": 0.1}, {"method": "qlora"}, {"method": "full"}],
    ids=lambda settings: settings["method"],
)
def test_a_resumed_fit_seals_the_bytes_of_an_uninterrupted_one(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    fit(tiny_model, tmp_path / "whole", checkpoint_minutes=1e-9, **settings)

    step = PackedTrainer.training_step

    def cut_at_five(self: PackedTrainer, *args: Any, **kwargs: Any) -> Any:
        if self.state.global_step == 5:
            raise PowerCut
        return step(self, *args, **kwargs)

    monkeypatch.setattr(PackedTrainer, "training_step", cut_at_five)
    with pytest.raises(PowerCut):
        fit(tiny_model, tmp_path / "cut", checkpoint_minutes=1e-9, **settings)
    monkeypatch.setattr(PackedTrainer, "training_step", step)
    recorded = RecordingReporter()
    fit(tiny_model, tmp_path / "cut", recorded, checkpoint_minutes=1e-9, **settings)

    assert recorded.steps[0] == 6
    assert any("resumes after step 5" in line for line in recorded.lines)
    assert sealed_digest(tmp_path / "cut") == sealed_digest(tmp_path / "whole")


def test_a_fit_that_was_done_but_not_sealed_is_sealed_without_training(tiny_model: Path, tmp_path: Path) -> None:
    fit(tiny_model, tmp_path / "workdir", epochs=1)
    before = sealed_digest(tmp_path / "workdir")
    shutil.rmtree(tmp_path / "workdir" / "out")
    recorded = RecordingReporter()
    fit(tiny_model, tmp_path / "workdir", recorded, epochs=1)
    assert recorded.steps == []
    assert sealed_digest(tmp_path / "workdir") == before


def test_going_on_with_other_rows_another_base_or_other_settings_is_refused_and_says_which(
    tiny_model: Path, tmp_path: Path
) -> None:
    rows, base = write_rows(tmp_path), shutil.copytree(tiny_model, tmp_path / "base")
    usual: dict[str, Any] = {"rows": rows, "epochs": 0.3}
    fit(base, tmp_path / "workdir", **usual)
    before = sealed_digest(tmp_path / "workdir")
    (base / "config.json").write_text((base / "config.json").read_text() + " ")
    other = write_rows(tmp_path, count=23)
    message = (
        r"belong to another fit; 3 of \d+ inputs differ: base '\w+' there, '\w+' now; data '\w+' there, '\w+' now; "
        r"training.rank 4 there, 8 now\."
    )
    with pytest.raises(TrainingStopped, match=message):
        fit(base, tmp_path / "workdir", **usual | {"rows": other, "rank": 8})
    shutil.copytree(tiny_model, base, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "workdir" / "out")
    fit(base, tmp_path / "workdir", **usual | {"rows": write_rows(tmp_path), "checkpoint_minutes": 3})
    assert sealed_digest(tmp_path / "workdir") == before


@pytest.mark.slow
def test_a_spoiled_checkpoint_is_passed_over(tiny_model: Path, tmp_path: Path) -> None:
    fit(tiny_model, tmp_path / "workdir", epochs=2)
    before = sealed_digest(tmp_path / "workdir")
    newest = newest_whole(tmp_path / "workdir")
    assert newest is not None
    with (newest / "optimizer.pt").open("r+b") as file:
        file.write(b"spoiled")
    older = newest_whole(tmp_path / "workdir")
    assert older is not None and older.name < newest.name
    shutil.rmtree(tmp_path / "workdir" / "out")
    fit(tiny_model, tmp_path / "workdir", epochs=2)
    assert sealed_digest(tmp_path / "workdir") == before


@pytest.mark.slow
def test_only_the_last_two_checkpoints_are_kept(tiny_model: Path, tmp_path: Path) -> None:
    fit(tiny_model, tmp_path / "workdir", epochs=4, checkpoint_minutes=1e-9, patience=9)
    assert len(list((tmp_path / "workdir" / "checkpoints").iterdir())) == 2
    assert not list((tmp_path / "workdir" / "checkpoints").rglob("training_args.bin"))


def test_a_folder_without_its_measures_does_not_count_as_whole(tmp_path: Path) -> None:
    written = tmp_path / "aside"
    written.mkdir()
    (written / "a").write_text("1")
    put_in_place(written, tmp_path / "placed")
    assert is_whole(tmp_path / "placed")
    (tmp_path / "placed" / "a").write_text("2")
    assert not is_whole(tmp_path / "placed")
    assert not is_whole(tmp_path / "nowhere")


def test_patience_counts_epochs_without_a_better_loss() -> None:
    def log(*losses: float) -> list[dict[str, float]]:
        return [{"validation_loss": loss} for loss in losses]

    assert not is_out_of_patience(log(3, 2, 1), 1)
    assert is_out_of_patience(log(3, 1, 2), 1)
    assert not is_out_of_patience(log(3, 1, 2), 2)
    assert is_out_of_patience(log(1, 2, 2), 2)
    assert not is_out_of_patience([{"loss": 1.0}], 1)


@pytest.mark.slow
def test_training_stops_when_patience_is_at_its_end_and_keeps_the_best(tiny_model: Path, tmp_path: Path) -> None:
    fitted = fit(tiny_model, tmp_path / "workdir", epochs=30, learning_rate=0.3, patience=1)
    checkpoint = newest_whole(tmp_path / "workdir")
    assert checkpoint is not None
    state = read_state(checkpoint)
    losses = [entry["validation_loss"] for entry in state["log_history"] if "validation_loss" in entry]
    assert len(losses) < 30
    assert fitted.validation_loss == min(losses) and losses[-1] > min(losses)
    sealed = sealed_digest(tmp_path / "workdir")
    assert sealed["best/adapter_model.safetensors"] != sealed["last/adapter_model.safetensors"]


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_kill_9_at_random_moments_ends_in_the_adapter_of_an_uninterrupted_fit(tiny_model: Path, tmp_path: Path) -> None:
    rows = write_rows(tmp_path)
    assert _run(tiny_model, tmp_path / "whole", rows).wait(100) == 0
    seed = random.randrange(1000)
    draw = random.Random(seed)
    checkpoints = tmp_path / "cut" / "checkpoints"
    for kill in range(2):
        before = {path.name for path in checkpoints.glob("*")}
        process = _run(tiny_model, tmp_path / "cut", rows)
        _wait_until(lambda before=before: {path.name for path in checkpoints.glob("*")} - before, process)
        time.sleep(draw.uniform(0, 0.2))
        assert process.poll() is None, f"training ended before kill {kill}"
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert _run(tiny_model, tmp_path / "cut", rows).wait(100) == 0
    assert sealed_digest(tmp_path / "cut") == sealed_digest(tmp_path / "whole"), seed


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_sigterm_saves_and_stops_and_the_same_command_ends_in_the_bytes_of_an_uninterrupted_fit(
    tiny_model: Path, tmp_path: Path
) -> None:
    rows = write_rows(tmp_path)
    assert _run(tiny_model, tmp_path / "whole", rows).wait(100) == 0
    process = _run(tiny_model, tmp_path / "cut", rows, minutes=1000)
    _wait_until(lambda: "step 1\n" in _said(tmp_path / "cut"), process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM
    saved = newest_whole(tmp_path / "cut")
    assert saved is not None
    step = read_state(saved)["global_step"]
    assert f"training stopped after step {step} of" in _said(tmp_path / "cut")
    assert not sealed_digest(tmp_path / "cut")
    assert _run(tiny_model, tmp_path / "cut", rows, minutes=1000).wait(100) == 0
    recorded = _said(tmp_path / "cut")
    assert f"step {step + 1}\n" in recorded and f"step {step}\n" not in recorded
    assert sealed_digest(tmp_path / "cut") == sealed_digest(tmp_path / "whole")


def test_the_first_sigterm_asks_and_the_second_is_answered_as_before() -> None:
    received: list[int] = []
    former = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    try:
        with stoppable() as stop:
            assert not stop.is_set()
            signal.raise_signal(signal.SIGTERM)
            assert stop.is_set() and not received
            signal.raise_signal(signal.SIGTERM)
            assert received == [signal.SIGTERM]
        with stoppable():
            pass
        signal.raise_signal(signal.SIGTERM)
        assert len(received) == 2
    finally:
        signal.signal(signal.SIGTERM, former)


def test_outside_the_main_thread_sigterm_is_left_alone() -> None:
    former = signal.getsignal(signal.SIGTERM)
    with ThreadPoolExecutor(1) as pool:
        seen = pool.submit(_handler_inside).result()
    assert seen == former


def _handler_inside() -> Any:
    with stoppable():
        return signal.getsignal(signal.SIGTERM)


def _said(folder: Path) -> str:
    """What the last process that worked in a folder has printed."""
    return folder.with_suffix(".said").read_text()


def _run(base: Path, folder: Path, rows: Path, minutes: float = 1e-9) -> subprocess.Popen[bytes]:
    script = Path(__file__).parents[1] / "examples.py"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", str(script), str(base), str(folder), str(rows), "0.1", str(minutes)]
    with folder.with_suffix(".said").open("w") as said:
        return subprocess.Popen(command, env=environment, stdout=said, stderr=subprocess.DEVNULL)


def _wait_until(happened: Any, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while not happened():
        assert process.poll() is None and time.monotonic() < end, "training ended, or made no checkpoint"
        time.sleep(0.02)
