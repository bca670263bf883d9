"""What happens to a store in the field: other disks, no permission, a wrong clock, two versions of the code, records of
another time.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from schemas.artifacts import ReportArtifact
from schemas.errors import StoreUnwritable
from tasks.reuse.current_store import current_store
from tasks.reuse.planning import planning
from tasks.reuse.upkeep import collect
from tests.reuse.counting_stage import count_letters, measure_letters

ROOT = Path(__file__).parents[2]
COUNT = "from tests.reuse.counting_stage import count_letters; print(count_letters('shared', {'times': 2}).digest)"


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True, check=False
    ).returncode:
        pytest.skip("a file system cannot be mounted here: it takes root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_artifacts_on_another_disk_than_the_benches_appear_whole(runs: Callable[[], int], other_disk: Path) -> None:
    store = current_store()
    (store.root).mkdir()
    (store.root / "artifacts").symlink_to(other_disk)
    assert store.folder("work").stat().st_dev != store.folder("artifacts").stat().st_dev
    first = count_letters("abc", {"times": 5})
    assert (store.open(first.digest) / "letters.txt").read_text() == "abc" * 5
    assert [path.name for path in other_disk.iterdir()] == [first.digest]
    count_letters("abc", {"times": 5})
    assert runs() == 1


def test_a_read_only_store_answers_what_it_has_and_names_itself_for_the_rest(
    runs: Callable[[], int], other_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNEWORTHY_STORE", str(other_disk / "store"))
    first = count_letters("kept", {})
    subprocess.run(["mount", "-o", "remount,ro", str(other_disk)], check=True)
    assert count_letters("kept", {}) == first
    with pytest.raises(StoreUnwritable, match=f"{other_disk / 'store'} cannot be written"):
        count_letters("new", {})
    assert runs() == 1


def test_a_clock_that_is_set_back_a_day_makes_nothing_run_again_and_collects_nothing_young(
    runs: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = count_letters("today", {})
    now = time.time()
    with monkeypatch.context() as set_back:
        set_back.setattr(time, "time", lambda: now - 86_400)
        assert count_letters("today", {}) == first
        second = count_letters("yesterday", {})
        assert collect(current_store(), keep_days=2, keep_verdicts=0, is_dry=False).artifacts == ()
    store = current_store()
    assert collect(store, keep_days=2, keep_verdicts=0, is_dry=False).artifacts == ()
    assert store.is_whole(first.digest) and store.is_whole(second.digest)
    assert runs() == 2


@pytest.mark.slow
def test_two_versions_of_the_code_share_one_store_and_neither_takes_the_others_answer(
    runs: Callable[[], int], tmp_path: Path
) -> None:
    edited = tmp_path / "edited" / "tests" / "reuse"
    edited.mkdir(parents=True)
    source = (ROOT / "tests" / "reuse" / "counting_stage.py").read_text()
    (edited / "counting_stage.py").write_text(
        source.replace('sections.get("times", 1)', 'sections.get("times", 1) * 2')
    )
    old, new = (answer_of(ROOT), answer_of(tmp_path / "edited", ROOT))
    assert old != new
    assert (answer_of(ROOT), answer_of(tmp_path / "edited", ROOT)) == (old, new)
    assert runs() == 2


def answer_of(*folders: Path) -> str:
    """Return what the stage answers when its code is looked for in these folders."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, folders))}
    done = subprocess.run(
        [sys.executable, "-c", COUNT],
        env=environment,
        cwd=folders[0],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


def test_a_record_of_another_schema_is_a_miss_and_no_error(runs: Callable[[], int]) -> None:
    first = count_letters("old", {})
    store = current_store()
    path = next((store.root / "records" / "count_letters").iterdir())
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 0}))
    assert count_letters("old", {}) == first
    assert runs() == 2


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"null", b"[]", b'{"schema": 1}', b"\xff\xfe"],
    ids=["empty", "cut", "null", "list", "bare", "no text"],
)
def test_any_damage_to_a_record_is_a_miss_in_plan_and_run_alike(runs: Callable[[], int], damage: bytes) -> None:
    first = count_letters("record", {})
    for path in (current_store().root / "records" / "count_letters").iterdir():
        path.write_bytes(damage)
    with planning() as plan:
        count_letters("record", {})
    assert [stage.outlook for stage in plan.stages] == ["will run"]
    assert count_letters("record", {}) == first
    assert runs() == 2


def test_a_store_that_was_moved_is_whole(
    runs: Callable[[], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = measure_letters(count_letters("moved", {}))
    shutil.move(tmp_path / "store", tmp_path / "elsewhere")
    monkeypatch.setenv("TUNEWORTHY_STORE", str(tmp_path / "elsewhere"))
    with planning() as plan:
        found = measure_letters(count_letters("moved", {}))
    assert plan.is_all_hits
    assert isinstance(found, ReportArtifact) and found == first
    assert runs() == 1
