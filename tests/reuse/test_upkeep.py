"""Nothing that a recent run stands on is removed; what nobody needs is, promise first."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from schemas.artifacts import ReportArtifact
from tasks.reuse.store import ArtifactStore
from tasks.reuse.upkeep import collect, verify
from tests.reuse.counting_stage import count_letters, measure_letters


@pytest.fixture(autouse=True)
def _marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTING_STAGE_MARKS", str(tmp_path / "marks"))


def aged(store: ArtifactStore, stage: str, days: float) -> None:
    """Make every record of a stage look older."""
    for path in (store.root / "records" / stage).iterdir():
        record = json.loads(path.read_text())
        path.write_text(json.dumps({**record, "sealed_at": time.time() - days * 86_400}))


def is_there(store: ArtifactStore, artifact: ReportArtifact) -> bool:
    return (store.root / "artifacts" / artifact.digest).is_dir()


def test_what_a_young_artifact_stands_on_is_kept_however_old(store: ArtifactStore) -> None:
    old = count_letters("kept", {})
    lonely = count_letters("lonely", {})
    measure_letters(old)
    aged(store, "count_letters", 90)
    found = collect(store, keep_days=30, keep_verdicts=0, is_dry=False)
    assert (is_there(store, old), is_there(store, lonely)) == (True, False)
    assert (found.artifacts, found.records) == ((lonely.digest,), 1)


def test_a_dry_run_removes_nothing_and_says_the_same(store: ArtifactStore) -> None:
    lonely = count_letters("lonely", {})
    aged(store, "count_letters", 90)
    dry = collect(store, keep_days=30, keep_verdicts=0, is_dry=True)
    assert is_there(store, lonely)
    assert collect(store, keep_days=30, keep_verdicts=0, is_dry=False) == dry


def test_a_removed_stage_runs_again(store: ArtifactStore, tmp_path: Path) -> None:
    first = count_letters("again", {})
    aged(store, "count_letters", 90)
    collect(store, keep_days=30, keep_verdicts=0, is_dry=False)
    assert count_letters("again", {}) == first
    assert len((tmp_path / "marks").read_text().split()) == 2


def test_only_a_bench_that_nobody_touched_for_days_is_removed(store: ArtifactStore) -> None:
    for name, days in (("old", 40), ("new", 1)):
        path = store.folder("work", name) / "checkpoint"
        path.write_text("work")
        moment = time.time() - days * 86_400
        os.utime(path, (moment, moment))
        os.utime(path.parent, (moment, moment))
    assert collect(store, keep_days=30, keep_verdicts=0, is_dry=False).workdirs == 1
    assert store.names("work") == ["new"]


def test_verify_names_the_broken_one_and_sets_it_aside(store: ArtifactStore) -> None:
    good, bad = count_letters("good", {}), count_letters("bad", {})
    path = store.root / "artifacts" / bad.digest / "letters.txt"
    stat = path.stat()
    path.write_text("dab")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    found = verify(ArtifactStore(store.root))
    assert (found.whole, found.broken) == ((good.digest,), (bad.digest,))
    assert not is_there(store, bad)
