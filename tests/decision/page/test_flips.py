"""What a change won and lost, row by row: as a table, and in the report's browser."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from schemas.artifacts import DataArtifact
from schemas.reports import ChampionReport, Verdict
from schemas.sections.decision import DecisionConfig
from tasks.decision.page.flips import MOST_ROWS, browsed, flips_of, read_rows
from tasks.decision.page.report_page import ReportPage, render_report
from tasks.decision.verdict.comparison import compare_arms
from tasks.decision.verdict.rules import judge
from tests.decision.measured_arms import scored

HOSTILE = "</script><script>document.title = 'run'</script><b>bold</b>"
CHAMPION = {"version": "1", "arm": "tuned", "rows": 3, "groups": 3, "left_out": 1, "score": 0.5, "low": 0, "high": 1}
CHAMPION |= {"valid_rate": 1, "prompt_tokens": 1, "output_tokens": 1, "standing": None, "untrained": "prompt"}
CHAMPION |= {"lead": 0, "lead_low": 0, "lead_high": 0, "outcome": "unclear", "reasons": (), "challenger": "tuned"}


def write_answers(path: Path, scores: Sequence[float], outputs: Sequence[str], rows: Sequence[int] = ()) -> Path:
    ids = rows or range(1, len(scores) + 1)
    pl.DataFrame({"row_id": ids, "output": outputs, "score": scores, "is_valid": True}).write_parquet(path)
    return path


def write_held_out(path: Path, prompts: Sequence[str]) -> Path:
    rows = range(1, len(prompts) + 1)
    turns = pl.Series("history", [["before", "then"], *([[]] * (len(prompts) - 1))], dtype=pl.List(pl.String))
    texts = {"prompt": prompts, "completion": [f"c{row}" for row in rows], "group": [f"g{row}" for row in rows]}
    pl.DataFrame({"row_id": rows, "history": turns, **texts}).write_parquet(path)
    return path


def a_verdict(before: Sequence[float], after: Sequence[float]) -> Verdict:
    arms = [scored("prompt", list(before)), scored("tuned", list(after))]
    return judge(compare_arms(arms, DecisionConfig()), None, DecisionConfig(), None)


@pytest.fixture
def four(tmp_path: Path) -> tuple[pl.DataFrame, Verdict]:
    """Four rows: won, changed, lost, same; the champion did not answer the first."""
    before, after = [0.0, 0.5, 1.0, 0.3 + 0.3], [1.0, 0.5, 0.0, 0.6]
    answers = {
        "prompt": write_answers(tmp_path / "a.parquet", before, ["p1", "p2", "p3", "as"]),
        "tuned": write_answers(tmp_path / "b.parquet", after, ["t1", "t2", HOSTILE, "as"]),
        "champion": write_answers(tmp_path / "c.parquet", [0.5, 0.0, 0.6], ["k2", "k3", "as"], rows=(2, 3, 4)),
    }
    rows = read_rows(write_held_out(tmp_path / "h.parquet", ["one", "two", HOSTILE, "four"]), answers)
    verdict = a_verdict(before, after)
    return rows, verdict.model_copy(update={"champion": ChampionReport.model_validate(CHAMPION)})


def test_lost_rows_come_first_and_rows_that_the_champion_learned_are_not_compared_with_it(
    four: tuple[pl.DataFrame, Verdict],
) -> None:
    flips = flips_of(*four)
    assert flips.select("before", "after", "kind", "row_id").rows() == [
        ("prompt", "tuned", "lost", 3),
        ("prompt", "tuned", "won", 1),
        ("prompt", "tuned", "changed", 2),
        ("prompt", "tuned", "same", 4),
        ("champion", "tuned", "changed", 2),
        ("champion", "tuned", "changed", 3),
        ("champion", "tuned", "same", 4),
    ]
    first = flips.row(0, named=True)
    assert (first["prompt"], first["reference"], first["before_output"], first["after_output"]) == (
        HOSTILE,
        "c3",
        "p3",
        HOSTILE,
    )
    assert flips.row(1, named=True)["prompt"] == "before\n\nthen\n\none"


def test_counts_of_the_verdict_are_those_of_the_table_also_where_broken_answers_count_as_wrong(tmp_path: Path) -> None:
    before, after, valid = [1.0] * 40, [1.0, 0.0] * 20, [0.0] * 30 + [1.0] * 10
    decision = DecisionConfig(valid=0.95)
    arms = [scored("prompt", before, valid), scored("tuned", after)]
    verdict = judge(compare_arms(arms, decision), None, decision, None)
    tuned = verdict.arms[1]
    answers = {name: write_answers(tmp_path / name, scores, ["x"] * 40) for name, scores in (("tuned", after),)}
    answers["prompt"] = tmp_path / "prompt"
    own = {"row_id": range(1, 41), "output": "x", "score": before, "is_valid": [bool(one) for one in valid]}
    pl.DataFrame(own).write_parquet(answers["prompt"])
    flips = flips_of(read_rows(write_held_out(tmp_path / "h", ["a"] * 40), answers), verdict)
    counts = dict(flips["kind"].value_counts().iter_rows())
    assert (tuned.gain_over, tuned.won, tuned.lost) == ("prompt", counts["won"], counts["lost"]) == ("prompt", 15, 5)
    assert "(won 15 rows, lost 5, p = 0.041 by sign flips)" in verdict.reasons[1]


def test_a_run_without_training_has_answers_to_browse_and_an_empty_table(tmp_path: Path) -> None:
    answers = {"prompt": write_answers(tmp_path / "a.parquet", [0.0], ["p"])}
    rows = read_rows(write_held_out(tmp_path / "h.parquet", ["one"]), answers)
    verdict = judge(compare_arms([scored("prompt", [0.0])], DecisionConfig()), None, DecisionConfig(), None)
    flips = flips_of(rows, verdict)
    assert flips.height == 0 and "before_output" in flips.columns
    shown = json.loads(browsed(rows, flips, ["prompt"]))
    assert shown["pairs"] == [] and shown["rows"][0][4] == [["p", 0.0, True]]


def test_the_page_keeps_the_lost_rows_of_a_large_set_and_cuts_long_texts(tmp_path: Path) -> None:
    count = MOST_ROWS + 10
    before, after = [0.0] * (count - 1) + [1.0], [0.0] * count
    answers = {
        "prompt": write_answers(tmp_path / "a.parquet", before, ["a" * 2000] * count),
        "tuned": write_answers(tmp_path / "b.parquet", after, ["b" * 2000] * count),
    }
    rows = read_rows(write_held_out(tmp_path / "h.parquet", ["one"] * count), answers)
    page = browsed(rows, flips_of(rows, a_verdict(before, after)), ["prompt", "tuned"])
    shown = json.loads(page)
    assert (len(shown["rows"]), shown["total"], shown["rows"][0][0]) == (MOST_ROWS, count, count)
    assert shown["pairs"] == [["prompt", "tuned", "l" + "c" * (MOST_ROWS - 1)]]
    assert len(page) < 13_000_000
    assert flips_of(rows, a_verdict(before, after))["before_output"].str.len_chars().min() == 2000


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium on this machine")
def test_a_browser_shows_texts_of_rows_and_models_as_text_and_never_runs_them(
    four: tuple[pl.DataFrame, Verdict], tmp_path: Path
) -> None:
    rows, verdict = four
    data = DataArtifact(digest="d", train_rows=8, held_out_rows=4, refused_rows=0, reasons={}, documents=0)
    shown = browsed(rows, flips_of(rows, verdict), ["prompt", "tuned", "champion"])
    assert "<" not in shown
    (tmp_path / "report.html").write_text(render_report(ReportPage("demo", verdict, data, shown)), encoding="utf-8")
    command = [
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--dump-dom",
        f"file://{tmp_path}/report.html",
    ]
    page = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100).stdout
    assert "<title>demo: " in page
    assert "&lt;b&gt;bold&lt;/b&gt;" in page and "<b>bold" not in page
    assert page.count('<article class="sample">') == 4
    assert page.index("row 3, group g3") < page.index("row 1, group g1") < page.index("row 2, group g2")
    assert ">lost (1)</option>" in page and "champion → tuned" in page
