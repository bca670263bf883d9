"""Nothing is lost, whatever happens to the process."""

from __future__ import annotations

import errno
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from lessons import Heard, fit, sealed_digest, write_rows

from schemas.errors import StoreUnwritable, TrainingStopped
from tasks.training.resuming import facts_of, newest_whole, put_in_place, read_state, write_whole
from tasks.training.stopping import stoppable
from tasks.training.trainer import PackedTrainer, is_out_of_patience


class PowerCut(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize("settings", [{"method": "lora", "dropout": 0.1}, {"method": "qlora"}, {"method": "full"}], ids=lambda settings: settings["method"])
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
    heard = Heard()
    fit(tiny_model, tmp_path / "cut", heard, checkpoint_minutes=1e-9, **settings)

    assert heard.steps[0] == 6
    assert any("goes on after step 5" in line for line in heard.lines)
    assert sealed_digest(tmp_path / "cut") == sealed_digest(tmp_path / "whole")


def test_a_fit_that_was_done_but_not_sealed_is_sealed_without_training(tiny_model: Path, tmp_path: Path) -> None:
    fit(tiny_model, tmp_path / "bench", epochs=1)
    before = sealed_digest(tmp_path / "bench")
    shutil.rmtree(tmp_path / "bench" / "out")
    heard = Heard()
    fit(tiny_model, tmp_path / "bench", heard, epochs=1)
    assert heard.steps == []
    assert sealed_digest(tmp_path / "bench") == before


def test_a_spoiled_checkpoint_is_passed_over(tiny_model: Path, tmp_path: Path) -> None:
    fit(tiny_model, tmp_path / "bench", epochs=2)
    before = sealed_digest(tmp_path / "bench")
    newest = newest_whole(tmp_path / "bench")
    assert newest is not None
    with (newest / "optimizer.pt").open("r+b") as file:
        file.write(b"spoiled")
    older = newest_whole(tmp_path / "bench")
    assert older is not None and older.name < newest.name
    shutil.rmtree(tmp_path / "bench" / "out")
    fit(tiny_model, tmp_path / "bench", epochs=2)
    assert sealed_digest(tmp_path / "bench") == before


def test_only_the_last_two_checkpoints_are_kept(tiny_model: Path, tmp_path: Path) -> None:
    fit(tiny_model, tmp_path / "bench", epochs=4, checkpoint_minutes=1e-9, patience=9)
    assert len(list((tmp_path / "bench" / "checkpoints").iterdir())) == 2
    assert not list((tmp_path / "bench" / "checkpoints").rglob("training_args.bin"))


class FullDisk(Heard):
    """From a step on, no file may grow beyond `most` bytes: the kernel refuses to write more, as a full disk does."""

    def __init__(self, step: int, most: int) -> None:
        super().__init__()
        self.step, self.most = step, most

    def advance(self, done: float, total: float, note: str = "") -> None:
        """Fill the disk when the step is done, just before its checkpoint."""
        super().advance(done, total, note)
        if done == self.step:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.most, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@pytest.fixture
def _disk_with_room_afterwards() -> Iterator[None]:
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, former)


@pytest.mark.usefixtures("_disk_with_room_afterwards")
@pytest.mark.parametrize(("step", "most", "refused"), [(5, 0, "best-000005"), (6, 20_000, "step-000006")])
def test_a_disk_that_is_full_at_a_checkpoint_loses_nothing_and_says_what_is_kept(
    tiny_model: Path, tmp_path: Path, step: int, most: int, refused: str
) -> None:
    fit(tiny_model, tmp_path / "whole", checkpoint_minutes=1e-9)
    former, heard = resource.getrlimit(resource.RLIMIT_FSIZE), FullDisk(step, most)
    told = rf"{refused} could not be written into .* MB free there\. The last good checkpoint is step-{step - 1:06d}, and it is kept: make room and run again"
    with pytest.raises(StoreUnwritable, match=told):
        fit(tiny_model, tmp_path / "cut", heard, checkpoint_minutes=1e-9)
    resource.setrlimit(resource.RLIMIT_FSIZE, former)
    assert any("checkpoints before the last good one are deleted to make room" in line for line in heard.lines)
    assert not (tmp_path / "cut" / "aside").exists()
    heard = Heard()
    fit(tiny_model, tmp_path / "cut", heard, checkpoint_minutes=1e-9)
    assert heard.steps[0] == step
    assert sealed_digest(tmp_path / "cut") == sealed_digest(tmp_path / "whole")


def test_a_checkpoint_is_written_again_where_older_ones_made_room_for_it(tmp_path: Path) -> None:
    for step in (1, 2):
        _write_checkpoint(tmp_path, step)
    tries, said = [], []

    def write(aside: Path) -> Path:
        tries.append(sorted(path.name for path in (tmp_path / "checkpoints").iterdir()))
        (aside / "weights").write_text("3")
        if len(tries) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return aside

    write_whole(tmp_path, tmp_path / "checkpoints" / "step-000003", write, said.append)
    assert tries == [["step-000001", "step-000002"], ["step-000002"]]
    assert facts_of(tmp_path / "checkpoints" / "step-000003") is not None
    assert len(said) == 1


def test_what_the_disk_did_not_refuse_is_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    def write(aside: Path) -> Path:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        write_whole(tmp_path, tmp_path / "step-000001", write, print)


def _write_checkpoint(folder: Path, step: int) -> None:
    written = folder / "written"
    written.mkdir()
    (written / "trainer_state.json").write_text('{"best_global_step": null}')
    put_in_place(written, folder / "checkpoints" / f"step-{step:06d}", {})


def test_a_folder_without_its_measures_does_not_count_as_whole(tmp_path: Path) -> None:
    written = tmp_path / "aside"
    written.mkdir()
    (written / "a").write_text("1")
    put_in_place(written, tmp_path / "placed", {"note": 1})
    assert facts_of(tmp_path / "placed") is not None
    (tmp_path / "placed" / "a").write_text("2")
    assert facts_of(tmp_path / "placed") is None
    assert facts_of(tmp_path / "nowhere") is None


def test_patience_counts_epochs_without_a_better_loss() -> None:
    def log(*losses: float) -> list[dict[str, float]]:
        return [{"validation_loss": loss} for loss in losses]

    assert not is_out_of_patience(log(3, 2, 1), 1)
    assert is_out_of_patience(log(3, 1, 2), 1)
    assert not is_out_of_patience(log(3, 1, 2), 2)
    assert is_out_of_patience(log(1, 2, 2), 2)
    assert not is_out_of_patience([{"loss": 1.0}], 1)


def test_training_stops_when_patience_is_at_its_end_and_keeps_the_best(tiny_model: Path, tmp_path: Path) -> None:
    fitted = fit(tiny_model, tmp_path / "bench", epochs=30, learning_rate=0.3, patience=1)
    checkpoint = newest_whole(tmp_path / "bench")
    assert checkpoint is not None
    state = read_state(checkpoint)
    losses = [entry["validation_loss"] for entry in state["log_history"] if "validation_loss" in entry]
    assert len(losses) < 30
    assert fitted.validation_loss == min(losses) and losses[-1] > min(losses)
    sealed = sealed_digest(tmp_path / "bench")
    assert sealed["best/adapter_model.safetensors"] != sealed["last/adapter_model.safetensors"]


@pytest.mark.slow
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
def test_sigterm_saves_and_stops_and_the_same_command_ends_in_the_bytes_of_an_uninterrupted_fit(tiny_model: Path, tmp_path: Path) -> None:
    rows = write_rows(tmp_path)
    assert _run(tiny_model, tmp_path / "whole", rows).wait(100) == 0
    process = _run(tiny_model, tmp_path / "cut", rows, minutes=1000)
    _wait_until(lambda: "step 1\n" in _said(tmp_path / "cut"), process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == TrainingStopped.exit_code
    saved = newest_whole(tmp_path / "cut")
    assert saved is not None
    step = read_state(saved)["global_step"]
    assert f"training stopped after step {step} of" in _said(tmp_path / "cut")
    assert not sealed_digest(tmp_path / "cut")
    assert _run(tiny_model, tmp_path / "cut", rows, minutes=1000).wait(100) == 0
    heard = _said(tmp_path / "cut")
    assert f"step {step + 1}\n" in heard and f"step {step}\n" not in heard
    assert sealed_digest(tmp_path / "cut") == sealed_digest(tmp_path / "whole")


def test_the_first_sigterm_asks_and_the_second_is_answered_as_before() -> None:
    received: list[int] = []
    former = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    try:
        with stoppable() as stop:
            assert not stop.is_asked
            signal.raise_signal(signal.SIGTERM)
            assert stop.is_asked and not received
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
    script = Path(__file__).with_name("lessons.py")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", str(script), str(base), str(folder), str(rows), "0.1", str(minutes)]
    with folder.with_suffix(".said").open("w") as said:
        return subprocess.Popen(command, env=environment, stdout=said, stderr=subprocess.DEVNULL)


def _wait_until(happened: Any, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while not happened():
        assert process.poll() is None and time.monotonic() < end, "training ended, or made no checkpoint"
        time.sleep(0.02)
