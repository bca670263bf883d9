"""A verdict says which rows are in two places, and what the arms score without the held-out ones among them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from schemas.artifacts import DataArtifact, LeakageArtifact
from schemas.reports import Verdict
from schemas.sections.decision import DecisionConfig
from tasks.decision.task import decide
from tasks.decision.verdict.comparison import ArmScores, compare_arms
from tasks.decision.verdict.leaks import with_leaks
from tasks.decision.verdict.rules import judge
from tasks.intervals import mean_interval
from tasks.reuse.stage import WorkDirectory
from tests.decision.measured_arms import scored

DECISION = DecisionConfig(target=0.8, worth=0.05)
ROWS = pl.Series(range(11, 211))
TUNED = [1.0] * 180 + [0.0] * 20  # right on 180 rows; few_shot is right on 100
LEAKAGE = LeakageArtifact(texts=9, items=3, rows=3, unread=())


def rows_in_two_places(folder: Path, twins: list[int], exact: int = 0) -> Path:
    """Write what a dataset says of held-out rows with a train twin, of which `exact` are equal."""
    pool = {"exact": exact, "near": len(twins) - exact, "requests_of_one_template": 5}
    (folder / "report.json").write_text(json.dumps({"leakage": {"few_shot_pool x held_out": pool}}))
    pairs = {"held_out": twins, "train": [1] * len(twins), "similarity": [None] * len(twins)}
    pl.DataFrame(pairs, schema={"held_out": pl.Int64, "train": pl.Int64, "similarity": pl.Float64}).write_parquet(
        folder / "twins.parquet"
    )
    return folder


def verdict_on(arms: list[ArmScores], folder: Path, leakage: LeakageArtifact | None = None) -> Verdict:
    verdict = judge(compare_arms(arms, DECISION), None, DECISION, None)
    return with_leaks(verdict, arms, ROWS, folder, leakage)


@pytest.fixture
def arms() -> list[ArmScores]:
    return [scored("prompt", [0.0] * 200), scored("few_shot", [1.0] * 100 + [0.0] * 100), scored("tuned", TUNED)]


def test_the_named_arm_and_the_best_untrained_one_are_scored_without_the_rows_with_a_twin(
    arms: list[ArmScores], tmp_path: Path
) -> None:
    verdict = verdict_on(arms, rows_in_two_places(tmp_path, list(range(11, 111)), exact=4))
    tuned, untrained = verdict.without_twins
    assert (verdict.verdict, verdict.named.score) == ("finetune", 0.9)
    expected = mean_interval(TUNED[100:], confidence=0.95)
    assert (tuned.arm, tuned.rows, tuned.groups) == ("tuned", 100, 100)
    assert (tuned.score, tuned.low, tuned.high) == (0.8, expected.low, expected.high)
    assert (untrained.arm, untrained.score) == ("prompt", 0.0)
    assert verdict.caveats[0].startswith("100 train rows (nearly) repeat a held-out row and were kept: every arm that")
    assert verdict.caveats[0].endswith(
        "Without the 100 evaluated rows with such a twin, on 100 rows in 100 groups, tuned scores 0.800 "
        f"({expected.low:.3f} to {expected.high:.3f}), prompt scores 0.000 ({untrained.low:.3f} to "
        f"{untrained.high:.3f})."
    )


def test_an_untrained_arm_that_the_verdict_names_is_told_once(arms: list[ArmScores], tmp_path: Path) -> None:
    few_shot = scored("few_shot", [1.0] * 195 + [0.0] * 5)
    verdict = verdict_on([arms[0], few_shot], rows_in_two_places(tmp_path, [11, 12, 210]))
    (found,) = verdict.without_twins
    assert (verdict.arm, found.arm, found.rows) == ("few_shot", "few_shot", 197)
    assert found.score == pytest.approx(193 / 197)


@pytest.mark.parametrize(
    ("twins", "told"),
    [
        (list(range(11, 211)), "All 200 evaluated rows have such a twin, so that no score is left without them."),
        ([500], "None of the evaluated rows is among those."),
    ],
)
def test_without_any_other_row_or_any_such_row_there_is_no_second_score(
    arms: list[ArmScores], tmp_path: Path, twins: list[int], told: str
) -> None:
    verdict = verdict_on(arms, rows_in_two_places(tmp_path, twins))
    assert verdict.without_twins == ()
    assert verdict.caveats[0].endswith(told)


def test_benchmark_items_in_train_rows_are_told_and_a_clean_set_tells_nothing(
    arms: list[ArmScores], tmp_path: Path
) -> None:
    clean = verdict_on(arms, rows_in_two_places(tmp_path, []), LEAKAGE.model_copy(update={"rows": 0}))
    assert (clean.caveats, clean.without_twins) == ((), ())
    (told,) = verdict_on(arms, tmp_path, LEAKAGE).caveats
    assert told.startswith("3 train rows contain a benchmark item: the adapter may have forgotten more")


def test_the_stage_leaves_out_the_rows_with_a_twin_by_their_numbers(workdir: WorkDirectory) -> None:
    """The answers lie in the order that they were given in, not in that of the rows."""

    def sealed(kind: str, write: Callable[[Path], object]) -> str:
        folder = workdir.folder / kind
        folder.mkdir(parents=True)
        write(folder)
        return workdir.store.seal(kind, folder)

    right = [1.0] * 90 + [0.0] * 10
    answers = pl.DataFrame({"row_id": range(1, 101), "score": right}).with_columns(
        group=pl.format("g{}", "row_id"),
        is_valid=True,
        is_stopped=True,
        found=pl.lit(None, pl.Int64),
        in_corpus=pl.lit(None, pl.Boolean),
    )
    arm = scored("prompt", right).artifact
    arm = arm.model_copy(
        update={"digest": sealed("arm", lambda at: answers[::-1].write_parquet(at / "answers.parquet"))}
    )
    data = DataArtifact(train_rows=9, held_out_rows=100, refused_rows=0, reasons={}, documents=0)
    data = data.model_copy(update={"digest": sealed("data", lambda at: rows_in_two_places(at, [*range(1, 11), 91]))})
    decide.function(DECISION, None, (arm,), None, data, workdir=workdir)
    (found,) = Verdict.model_validate_json((workdir.out / "verdict.json").read_text()).without_twins
    assert (found.rows, found.score) == (89, pytest.approx(80 / 89))
