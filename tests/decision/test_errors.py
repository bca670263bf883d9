"""Every wrong answer is of one kind, and the kinds say what could still win it."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from schemas.findings.advice import Recall
from tasks.decision.verdict.errors import count_errors, grammar_sentence, winnable
from tests.decision.measured_arms import an_arm

# score, stopped, valid, rank of the answer in what was shown, whether the corpus contains it
ANSWERS = {
    "cut off": (0.0, False, True, 1, True),
    "breaks the contract": (0.0, True, False, 1, True),
    "answer shown, but not used": (0.5, True, True, 2, True),
    "answer in the corpus, but not found": (0.0, True, True, None, True),
    "answer nowhere in the corpus": (0.0, True, True, None, False),
    "wrong content": (0.0, True, True, None, None),
}


def written(path: Path, *kinds: str) -> Path:
    """Write one answer of each kind, and ten right ones."""
    rows = [(1.0, True, True, 1, True)] * 10 + [ANSWERS[kind] for kind in kinds]
    frame = pl.DataFrame(rows, schema=["score", "is_stopped", "is_valid", "found", "in_corpus"], orient="row")
    frame.with_row_index("row_id").with_columns(group=pl.col("row_id").cast(pl.String)).write_parquet(path)
    return path


def test_each_wrong_answer_is_of_exactly_the_kind_that_it_was_made_as(tmp_path: Path) -> None:
    for place, kind in enumerate(ANSWERS):
        (found,) = count_errors(written(tmp_path / f"{place}.parquet", kind, kind), 0.95)
        assert (found.kind, found.rows, round(found.share, 3)) == (kind, (10, 11), round(2 / 12, 3))
        assert found.low < found.share < found.high


def test_the_sentence_tells_what_retrieval_could_win_apart_from_what_tuning_could(tmp_path: Path) -> None:
    errors = count_errors(written(tmp_path / "a.parquet", *ANSWERS), 0.95)
    arm = an_arm("retrieval", 0.6).model_copy(
        update={"errors": errors, "retrieved": Recall(top_k=4, no_hit=0, in_corpus=0.9, recall=0.9, mrr=0.8)}
    )
    said = winnable([an_arm("prompt", 0.9), arm])
    assert said.startswith("What could still be won, of all answers of retrieval: 12% do not have the form")
    assert "6% were not found in the corpus, which only better retrieval could win" in said
    assert winnable([an_arm("prompt", 0.9)]) == ""


def test_what_the_grammar_gave_is_told_apart_from_what_tuning_gave() -> None:
    untrained = [an_arm("prompt", 0.2), an_arm("prompt+grammar", 0.5)]
    tuned = [an_arm("tuned", 0.7), an_arm("tuned+grammar", 0.9)]
    assert grammar_sentence(untrained) == "a grammar alone gives prompt +0.300."
    assert grammar_sentence(untrained + tuned) == (
        "a grammar alone gives prompt +0.300; tuning gives +0.400 beyond that (tuned+grammar)."
    )
    assert grammar_sentence(tuned) == "a grammar alone gives tuned +0.200."
    assert grammar_sentence([untrained[0], tuned[1]]) == ""
