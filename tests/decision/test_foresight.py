"""What the held-out rows can show is said before anything is spent."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from schemas.artifacts import DataArtifact
from schemas.reports import Verdict
from schemas.sections.decision import DecisionConfig
from tasks.decision.foresight import WORST_CASE, foresee, what_shows
from tasks.reuse.store import ArtifactStore
from tasks.statistics.power import Spread, worst_spread
from tests.before_registry import a_verdict

DECISION = DecisionConfig(target=None, worth=0.03)


def held_out(store: ArtifactStore, folder: Path, groups: int, rows: int) -> DataArtifact:
    folder.mkdir()
    pl.DataFrame({"group": [f"g{row % groups}" for row in range(rows)]}).write_parquet(folder / "held_out.parquet")
    facts = DataArtifact(train_rows=1, held_out_rows=rows, refused_rows=0, reasons={}, documents=0)
    return facts.model_copy(update={"digest": store.seal("data", folder)})


def decided(store: ArtifactStore, folder: Path, verdict: Verdict, run: str) -> None:
    folder.mkdir()
    (folder / "verdict.json").write_text(verdict.model_dump_json(), encoding="utf-8")
    record = {"artifact": {"digest": store.seal("verdict", folder)}, "run": run, "label": "decide", "sealed_at": 1.0}
    store.write_record("decide", folder.name, record)


def test_rows_and_groups_are_those_of_the_held_out_side_and_the_worst_is_reckoned_with(
    store: ArtifactStore, tmp_path: Path
) -> None:
    found = foresee(held_out(store, tmp_path / "rows", 15, 90), DECISION, "demo", 2)
    assert (found.rows, found.groups, found.stands_on) == (90, 15, WORST_CASE)
    assert found.smallest_gain is not None and 0.4 < found.smallest_gain < 0.7
    assert found.in_words.startswith("90 held-out rows in 15 groups: a gain of 0.5")


def test_an_earlier_verdict_of_the_same_run_tells_the_spread(store: ArtifactStore, tmp_path: Path) -> None:
    data = held_out(store, tmp_path / "rows", 50, 50)
    worst = foresee(data, DECISION, "demo", 1)
    arms = a_verdict(0.85).arms
    tuned = arms[-1].model_copy(update={"gain": 0.1, "gain_low": 0.05, "gain_high": 0.15, "groups": 50})
    verdict = a_verdict(0.85).model_copy(update={"arms": (*arms[:-1], tuned)})
    decided(store, tmp_path / "other", verdict, "another")
    assert foresee(data, DECISION, "demo", 1) == worst
    decided(store, tmp_path / "own", verdict, "demo")
    found = foresee(data, DECISION, "demo", 1)
    assert "earlier run" in found.stands_on
    # half of 0.05 at 50 groups: 2.01 standard errors; 8 of 10 cases take 0.96 more of them
    assert found.smallest_gain == pytest.approx(0.05 / 2.01 * 2.97, rel=0.01)


def test_more_tuned_arms_and_more_rows_a_group_need_more() -> None:
    one = what_shows(200, 100, DECISION, worst_spread(2), "", 1)
    two = what_shows(200, 100, DECISION, worst_spread(2), "", 2)
    assert (one.groups_for_worth or 0) < (two.groups_for_worth or 0)
    assert (one.smallest_gain or 0) < (two.smallest_gain or 0)


def test_a_warning_names_both_remedies_and_following_either_ends_it() -> None:
    spread = Spread(0.5, 0.0, 1.0)
    found = what_shows(30, 30, DECISION, spread, "")
    assert found.warning is not None
    assert "more groups" in found.warning and "raise decision.worth to" in found.warning
    needed = found.groups_for_worth or 0
    assert what_shows(needed, needed, DECISION, spread, "").warning is None
    raised = float(found.warning.rpartition("raise decision.worth to ")[2])
    assert what_shows(30, 30, DecisionConfig(target=None, worth=raised), spread, "").warning is None


def test_seven_groups_show_nothing_and_the_remedy_is_not_a_higher_worth() -> None:
    found = what_shows(700, 7, DECISION, worst_spread(100), "")
    assert "nothing can be told at a confidence with fewer than 8 groups" in found.in_words
    assert found.warning is not None and "raise" not in found.warning
