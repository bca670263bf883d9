"""Facts or form: the kinds of wrong answers, what could still win them, and how much of a gain is form only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import polars as pl

from schemas.findings.advice import ErrorKind, Errors
from schemas.reports import ArmReport
from schemas.sections.arms import GRAMMAR, TrainedArm
from tasks.decision.verdict.wording import signed_spread
from tasks.intervals import mean_interval

WRONG = 1.0 - 1e-9  # a score below it is not wholly right
SHOWN = 10
SMALLEST_FORM = 0.0005  # a difference between the two readings that three digits would not show
REMEDIES: dict[tuple[ErrorKind, ...], str] = {
    ("cut off", "breaks the contract"): "do not have the form, which tuning or better examples teach",
    ("answer shown, but not used",): "do not use an answer that was shown, which tuning could win",
    ("answer in the corpus, but not found",): "were not found in the corpus, which only better retrieval could win",
    ("answer nowhere in the corpus",): "stand nowhere in the corpus word for word, where no search helps",
    ("wrong content",): "have the form, but wrong content, which tuning could win",
}


def count_errors(path: Path, confidence: float) -> tuple[Errors, ...]:
    """Return the kinds of answers that are not wholly right, the most frequent first; each answer is of one kind.

    An answer of the right form is told apart by where the reference answer stands (tasks/arms/evidence.py): in what was
    shown, elsewhere in the corpus, or nowhere; it has wrong content where that cannot be told.
    """
    answers = pl.read_parquet(path).sort("row_id")
    is_shown, is_there = pl.col("found").is_not_null(), pl.col("in_corpus")
    of_kind = {
        "cut off": ~pl.col("is_stopped"),
        "breaks the contract": ~pl.col("is_valid"),
        "answer shown, but not used": is_shown,
        "answer in the corpus, but not found": is_there,
        "answer nowhere in the corpus": ~is_there,
    }
    kinds = [*(pl.when(holds).then(pl.lit(kind)) for kind, holds in of_kind.items()), pl.lit("wrong content")]
    answers = answers.with_columns(kind=pl.when(pl.col("score") < WRONG).then(pl.coalesce(*kinds)))
    found = [_errors(kind, answers, confidence) for kind in answers["kind"].drop_nulls().unique().sort()]
    return tuple(sorted(found, key=lambda one: -one.share))


def _errors(kind: ErrorKind, answers: pl.DataFrame, confidence: float) -> Errors:
    is_kind = (answers["kind"] == kind).fill_null(False)
    interval = mean_interval(
        is_kind.cast(pl.Float64).to_numpy(), confidence=confidence, clusters=answers["group"].to_list()
    )
    rows = tuple(answers.filter(is_kind)["row_id"].head(SHOWN))
    return Errors(kind=kind, share=interval.mean, low=interval.low, high=interval.high, rows=rows)


def winnable(arms: Sequence[ArmReport]) -> str:
    """Return in one sentence what retrieval could still win and what tuning could, from the answers of the arm that
    retrieves, or of the best arm where none does; "" where nothing is wrong.
    """
    arm = next((one for one in arms if one.retrieved), None) or max(arms, key=lambda one: one.score)
    parts = [(sum(one.share for one in arm.errors if one.kind in kinds), text) for kinds, text in REMEDIES.items()]
    said = "; ".join(f"{share:.0%} {text}" for share, text in parts if share > 0)
    return f"What could still be won, of all answers of {arm.arm}: {said}." if said else ""


def grammar_sentence(arms: Sequence[ArmReport]) -> str:
    """Return what a grammar gave apart from what tuning gave, from the simplest arms with one on both sides; what it
    gave alone where nothing was tuned; "" where no arm was measured both with and without.
    """
    scores = {arm.arm: arm.score for arm in arms}
    held = [name for name in scores if name.endswith(GRAMMAR)]
    plain = next((name.removesuffix(GRAMMAR) for name in held if name.removesuffix(GRAMMAR) in scores), None)
    if plain is None:
        return ""
    given = scores[f"{plain}{GRAMMAR}"] - scores[plain]
    told = f"a grammar alone gives {plain} {given:+.3f}"
    tuned = next((name for name in held if name in get_args(TrainedArm)), None)
    if tuned is None or plain in get_args(TrainedArm):
        return f"{told}."
    return f"{told}; tuning gives {scores[tuned] - scores[plain] - given:+.3f} beyond that ({tuned})."


def form_sentence(arm: ArmReport) -> str:
    """Return how much of a tuned arm's gain is only a matter of form; "" where both readings of answers agree."""
    if arm.gain is None or arm.other_gain is None or abs(arm.gain - arm.other_gain) < SMALLEST_FORM:
        return ""
    strict, lenient = (arm.other_gain, arm.gain) if arm.reading == "lenient" else (arm.gain, arm.other_gain)
    other = "strictly" if arm.reading == "lenient" else "leniently, past the words around them"
    interval = signed_spread(arm.other_gain_low or 0.0, arm.other_gain_high or 0.0)
    form = strict - lenient
    told = f"{form:.3f} of what it gains strictly is form only" if form > 0 else "none of its gain is form only"
    return (
        f"with all answers read {other}, {arm.arm} gains {arm.other_gain:+.3f} ({interval}) instead of "
        f"{arm.gain:+.3f}: {told}."
    )
