"""A stage runs once per key, answers from whole artifacts only, and says why it runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.artifacts import ReportArtifact
from schemas.errors import StoreUnwritable, TuneworthyError
from schemas.sections.training import TrainingConfig
from tasks.reuse.current_store import current_store
from tasks.reuse.keys import changed_ingredients, flatten
from tasks.reuse.planning import Pending, planning
from tests.reuse.counting_stage import count_letters, measure_letters


def sealed_file(artifact: ReportArtifact) -> Path:
    return current_store().root / "artifacts" / artifact.digest / "letters.txt"


def test_equal_arguments_run_once(runs: Callable[[], int]) -> None:
    assert count_letters("a", {"times": 3}) == count_letters("a", {"times": 3})
    assert runs() == 1


def test_another_argument_runs_again(runs: Callable[[], int]) -> None:
    count_letters("a", {"times": 3})
    count_letters("a", {"times": 4})
    assert runs() == 2


@pytest.mark.parametrize("damage", ["truncate", "empty", "flip", "delete", "manifest"])
def test_a_damaged_artifact_is_never_served(runs: Callable[[], int], damage: str) -> None:
    first = count_letters("abc", {"times": 30})
    path = sealed_file(first)
    if damage == "delete":
        path.unlink()
    elif damage == "manifest":
        (path.parent / "manifest.json").write_text("{}")
    else:
        text = path.read_bytes()
        path.write_bytes({"truncate": text[:-1], "empty": b"", "flip": bytes([text[0] ^ 1]) + text[1:]}[damage])
    assert count_letters("abc", {"times": 30}) == first
    assert runs() == 2
    assert path.read_text() == "abc" * 30


def test_a_damaged_record_is_a_miss(runs: Callable[[], int]) -> None:
    count_letters("a", {})
    record = next((current_store().root / "records" / "count_letters").iterdir())
    record.write_text(record.read_text()[:40])
    count_letters("a", {})
    assert runs() == 2


def test_planning_runs_nothing_and_names_what_moved(runs: Callable[[], int]) -> None:
    measure_letters(count_letters("a", {"times": 3}))
    with planning() as plan:
        assert isinstance(measure_letters(count_letters("a", {"times": 5})), Pending)
    assert [stage.outlook for stage in plan.stages] == ["will run", "depends"]
    assert plan.stages[0].why == "sections.times 3 -> 5"
    assert runs() == 1


def test_a_plan_after_a_run_is_all_hits(runs: Callable[[], int]) -> None:
    measure_letters(count_letters("a", {}))
    with planning() as plan:
        measure_letters(count_letters("a", {}))
    assert plan.is_all_hits


def test_a_failing_stage_leaves_no_record_and_nothing_sealed(runs: Callable[[], int]) -> None:
    with pytest.raises(ValueError, match="a fault of the code"):
        count_letters("broken", {})
    root = current_store().root
    assert not (root / "artifacts").exists()
    assert not (root / "records").exists()


def test_an_argument_without_a_stable_spelling_is_refused(runs: Callable[[], int]) -> None:
    with pytest.raises(TuneworthyError, match="cannot be part of a stage's key"):
        count_letters("a", {"times": object()})  # type: ignore[dict-item]
    assert runs() == 0


def test_an_unsealed_artifact_is_refused_as_input(runs: Callable[[], int]) -> None:
    with pytest.raises(TuneworthyError, match="not sealed"):
        measure_letters(ReportArtifact(headline="never sealed"))


@pytest.mark.slow
def test_two_processes_with_one_key_run_it_once(runs: Callable[[], int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTING_STAGE_SECONDS", "1.5")
    code = "from tests.reuse.counting_stage import count_letters; print(count_letters('z', {}).digest)"
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = {process.communicate(timeout=60)[0] for process in both}
    assert len(answers) == 1
    assert runs() == 1


def test_a_setting_that_says_only_where_is_not_in_the_key() -> None:
    names = dict(flatten("training", TrainingConfig()))
    assert "training.rank" in names
    assert "training.checkpoint_minutes" not in names


def test_moved_names_old_and_new_values() -> None:
    assert changed_ingredients({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}) == [("b", 2, 3), ("c", None, 4)]


def test_a_disk_that_is_full_while_sealing_is_told_and_leaves_nothing_half_written(
    runs: Callable[[], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "small disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True, check=False
    ).returncode:
        pytest.skip("a disk of one megabyte cannot be mounted here: it takes root")
    try:
        monkeypatch.setenv("TUNEWORTHY_STORE", str(disk / "store"))
        with pytest.raises(StoreUnwritable, match="is full"):
            count_letters("x", {"times": 3_000_000})
        root = current_store().root
        assert not list(root.glob("artifacts/*")) and not list(root.glob("records/*/*"))
        assert count_letters("x", {"times": 3}).digest
    finally:
        subprocess.run(["umount", str(disk)], check=True)
