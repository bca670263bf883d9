"""A gain on all rows does not hide a loss on some: but only where there are groups enough to show it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from schemas.champion import ScoredChampionArtifact
from schemas.reports import Verdict
from schemas.sections.decision import DecisionConfig
from tasks.decision.champion import compare_with_champion
from tasks.decision.page.report_page import ReportPage, render_report
from tasks.decision.verdict.comparison import compare_arms
from tasks.decision.verdict.rules import judge
from tasks.decision.verdict.slices import compared_on, sliced, slices_of
from tests.decision.measured_arms import FACTS, scored
from tests.decision.measured_benchmark import a_benchmark, a_task
from tests.decision.page.test_report_page import DATA

DECISION = DecisionConfig(worth=0.05, slices=("language",))


def judged(before: list[float], after: list[float], french: int) -> Verdict:
    """Return the verdict where the last `french` rows are French, each row a group of its own."""
    arms = [scored("prompt", before), scored("tuned", after)]
    verdict = judge(compare_arms(arms, DECISION), a_benchmark(a_task("kept")), DECISION, "kept")
    is_french = np.arange(len(before)) >= len(before) - french
    slices = {("language", "de"): ~is_french, ("language", "fr"): is_french}
    return sliced(verdict, arms, slices, DECISION)


def test_an_adapter_that_loses_on_a_slice_is_held_back_whatever_it_gains_on_all_rows() -> None:
    verdict = judged([0.0] * 80 + [1.0] * 20, [1.0] * 80 + [0.0] * 20, french=20)
    assert (verdict.verdict, verdict.promotes) == ("finetune", True)
    german, french = verdict.slices
    assert (german.value, german.rows, german.has_lost) == ("de", 80, False)
    assert (french.value, french.groups, french.gain, french.has_lost) == ("fr", 20, -1.0, True)
    assert "tuned is worse than prompt, at 95% confidence" in verdict.held_back
    assert "language = fr: -1.000" in verdict.caveats[-1]
    assert verdict.recommendation.startswith("Let prompt answer the rows of the slice on which tuned loses")


def test_seven_groups_veto_nothing_however_clear_the_loss_looks() -> None:
    verdict = judged([0.0] * 80 + [1.0] * 7, [1.0] * 80 + [0.0] * 7, french=7)
    assert verdict.slices[1].gain == -1.0 and not verdict.slices[1].has_lost
    assert (verdict.held_back, verdict.caveats) == ("", ())
    page = render_report(ReportPage("demo", verdict, DATA))
    assert "too few groups to tell" in page and "language = fr" in page


def test_a_loss_that_chance_explains_among_many_slices_is_none() -> None:
    """One of twenty slices of no effect has an interval below 0; alone it would count, among twenty it does not."""
    chance = np.random.default_rng(2)
    before, after = (scored(name, list(chance.integers(0, 2, 800) * 1.0)) for name in ("prompt", "tuned"))
    alone = [{("c", "x"): chance.permutation(np.arange(800) < 40)} for _ in range(400)]
    found = next(slices for slices in alone if compared_on(slices, before, after, 0.95)[("c", "x")][1])
    others = {("c", f"v{place}"): chance.permutation(np.arange(800) < 40) for place in range(19)}
    assert not compared_on(others | found, before, after, 0.95)[("c", "x")][1]


def test_an_untrained_run_tells_its_arms_on_each_slice_and_holds_nothing_back() -> None:
    arms = [scored("prompt", [1.0] * 10 + [0.0] * 10)]
    verdict = judge(compare_arms(arms, DECISION), None, DECISION, None)
    found = sliced(verdict, arms, {("channel", "mail"): np.arange(20) < 10}, DECISION)
    assert found.slices[0].arms[0].score == 1.0 and found.slices[0].gain is None
    assert "channel = mail" in render_report(ReportPage("demo", found, DATA))


def test_slices_follow_the_rows_that_were_measured(tmp_path: Path) -> None:
    table = {"column": ["language"] * 3, "row_id": [9, 2, 5], "value": ["de", "fr", "de"]}
    pl.DataFrame(table).write_parquet(tmp_path / "slices.parquet")
    found = slices_of(tmp_path, pl.Series([2, 5]))
    assert {name: rows.tolist() for name, rows in found.items()} == {
        ("language", "de"): [False, True],
        ("language", "fr"): [True, False],
    }


@pytest.mark.parametrize(("french", "outcome"), [(20, "worse_on_a_slice"), (0, "better")])
def test_a_challenger_that_loses_on_a_slice_does_not_replace_the_champion(
    french: int, outcome: str, tmp_path: Path
) -> None:
    arms = [scored("prompt", [0.0] * 100), scored("tuned", [1.0] * 80 + [0.0] * 20)]
    verdict = judge(compare_arms(arms, DECISION), None, DECISION, None)
    champion = [0.0] * 80 + [1.0] * 20
    columns = {"row_id": range(1, 101), "group": [f"g{row}" for row in range(100)], "score": champion, "is_valid": True}
    pl.DataFrame(columns).write_parquet(tmp_path / "answers.parquet")
    learned = pl.DataFrame(schema={"row_id": pl.Int64, "reason": pl.String})
    learned.write_parquet(tmp_path / "learned.parquet")
    facts = ScoredChampionArtifact(arm="champion", rows=100, score=0.2, **FACTS)
    slices = {("language", "fr"): np.arange(100) >= 100 - french}
    found = compare_with_champion(
        "3", "tuned", (facts, tmp_path), arms, tmp_path / "learned.parquet", verdict, DECISION, slices
    )
    assert (found.outcome, found.won, found.lost) == (outcome, 80, 20)
    assert ("language = fr: -1.000" in found.reasons[-1]) == (french > 0)
