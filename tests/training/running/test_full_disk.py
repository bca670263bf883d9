"""A disk that takes no more bytes costs no work that was saved."""

from __future__ import annotations

import errno
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.errors import StoreUnwritable
from tasks.training.running.checkpoints import is_whole, put_in_place, write_whole
from tests.training.examples import RecordingReporter, fit, sealed_digest


class FullDisk(RecordingReporter):
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


@pytest.mark.slow
@pytest.mark.usefixtures("_disk_with_room_afterwards")
@pytest.mark.parametrize(("step", "most", "refused"), [(5, 0, "best-000005"), (6, 20_000, "step-000006")])
def test_a_disk_that_is_full_at_a_checkpoint_loses_nothing_and_says_what_is_kept(
    tiny_model: Path, tmp_path: Path, step: int, most: int, refused: str
) -> None:
    fit(tiny_model, tmp_path / "whole", checkpoint_minutes=1e-9)
    former, recorded = resource.getrlimit(resource.RLIMIT_FSIZE), FullDisk(step, most)
    message = (
        rf"{refused} could not be written into .* MB free there\. The last good checkpoint is step-{step - 1:06d}, "
        r"and it is kept: free space and run again"
    )
    with pytest.raises(StoreUnwritable, match=message):
        fit(tiny_model, tmp_path / "cut", recorded, checkpoint_minutes=1e-9)
    resource.setrlimit(resource.RLIMIT_FSIZE, former)
    assert any("deleting the checkpoints before the last good one to make room" in line for line in recorded.lines)
    assert not (tmp_path / "cut" / "aside").exists()
    recorded = RecordingReporter()
    fit(tiny_model, tmp_path / "cut", recorded, checkpoint_minutes=1e-9)
    assert recorded.steps[0] == step
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
    assert is_whole(tmp_path / "checkpoints" / "step-000003")
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
    put_in_place(written, folder / "checkpoints" / f"step-{step:06d}")
