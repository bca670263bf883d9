"""One piece of advice follows from the verdict, the learning curve and the kinds of wrong answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from schemas.findings.advice import Advice
from schemas.sections.decision import DecisionConfig
from tasks.decision.advising import Learned, advise_on
from tasks.decision.verdict.errors import count_errors
from tests.before_registry import a_verdict

DECISION = DecisionConfig(target=0.85, worth=0.03)


def answers(path: Path, right: float, rows: int = 400, broken: int = 0, cut: int = 0) -> Path:
    """Write answers of which a share is right, the first ones; `broken` and `cut` of the wrong ones are that."""
    scores = np.arange(rows) < right * rows
    kinds = np.arange(rows)[::-1]
    frame = pl.DataFrame(
        {
            "row_id": range(rows),
            "group": [str(row) for row in range(rows)],
            "score": scores.astype(float),
            "is_valid": kinds >= broken,
            "is_stopped": (kinds < broken) | (kinds >= broken + cut),
            "found": pl.Series([None] * rows, dtype=pl.Int64),
            "in_corpus": pl.Series([None] * rows, dtype=pl.Boolean),
        }
    )
    frame.write_parquet(path)
    return path


def advice(folder: Path, verdict: str, half: float, whole: float, **wrong: int) -> Advice:
    curve = [
        Learned(0.5, 60, answers(folder / "half.parquet", half, wrong.get("rows", 400))),
        Learned(1.0, 120, answers(folder / "whole.parquet", whole, **wrong)),
    ]
    promotes = verdict == "finetune"
    found = a_verdict(0.85).model_copy(update={"verdict": verdict, "promotes": promotes})
    errors = count_errors(folder / "whole.parquet", 0.95)
    arms = tuple(arm.model_copy(update={"errors": errors}) for arm in found.arms)
    return advise_on(found.model_copy(update={"arms": arms}), curve, DECISION, 100.0)


@pytest.mark.parametrize(
    ("verdict", "half", "whole", "trend", "step"),
    [
        ("none_good_enough", 0.4, 0.6, "rising", "more_rows"),
        ("none_good_enough", 0.6, 0.6, "flat", "another_base"),
        ("undecided", 0.4, 0.6, "rising", "more_rows"),
        ("undecided", 0.6, 0.6, "flat", "more_groups_held_out"),
        ("not_worth_tuning", 0.4, 0.6, "rising", "use_untrained"),
        ("finetune", 0.4, 0.9, "rising", "use_tuned"),
    ],
)
def test_the_next_step_follows_from_verdict_and_trend(
    tmp_path: Path, verdict: str, half: float, whole: float, trend: str, step: str
) -> None:
    found = advice(tmp_path, verdict, half, whole)
    assert (found.trend, found.next_step) == (trend, step)
    assert found.seconds_needed == (200 if step == "more_rows" else None)


def test_what_cannot_be_told_is_no_reason_for_more_train_rows(tmp_path: Path) -> None:
    found = advice(tmp_path, "none_good_enough", 0.6, 0.61, rows=120)
    assert (found.trend, found.next_step) == ("unclear", "more_groups_held_out")


def test_answers_that_break_the_contract_or_are_cut_off_come_first(tmp_path: Path) -> None:
    assert "raise arms.max_new_tokens" in advice(tmp_path, "none_good_enough", 0.4, 0.6, cut=120).advice
    assert "break the contract" in advice(tmp_path, "none_good_enough", 0.4, 0.6, broken=120).advice
    assert advice(tmp_path, "none_good_enough", 0.4, 0.6, broken=3).next_step == "more_rows"


def test_every_answer_that_is_not_wholly_right_is_counted_once(tmp_path: Path) -> None:
    errors = count_errors(answers(tmp_path / "a.parquet", 0.5, 120, broken=12, cut=24), 0.95)
    shares = {one.kind: round(one.share * 120) for one in errors}
    assert shares == {"wrong content": 24, "cut off": 24, "breaks the contract": 12}
    assert all(one.low < one.share < one.high for one in errors)
    assert next(one.rows for one in errors if one.kind == "breaks the contract") == tuple(range(108, 118))
