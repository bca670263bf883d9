"""Where the reference answer stands decides whether an answer was found, and how recall counts."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from tasks.arms.evidence import evidence_of, recall_of
from tasks.inference.prompts.passages import Passage
from tasks.inference.prompts.prompt_builder import Example, PromptContext, Request

TEXTS = ["Super Bowl 50: the Panthers gave up 308 points.", "Catalogue no. 13081.", "拖车周末租金每天十五欧元。"]
PASSAGES = PromptContext(passages=tuple(Passage("a", text) for text in TEXTS), top_k=2)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    pl.DataFrame({"document": ["a"] * 3, "text": TEXTS}).write_parquet(tmp_path / "corpus.parquet")
    return tmp_path / "corpus.parquet"


def test_the_rank_of_an_answer_is_that_of_the_nearest_passage_in_which_its_words_stand(corpus: Path) -> None:
    answers = ["308 Points", "308", "308", "十五欧元", "never", "308"]
    found = evidence_of(answers, [[1, 0], [0, 1], [1, 2], [2], [0, 1], []], PASSAGES, corpus)
    assert found["found"].to_list() == [1, 2, None, 1, None, None]
    assert found["in_corpus"].to_list() == [True, True, True, True, False, True]
    assert found["shown"].to_list() == [2, 2, 2, 1, 2, 0]


def test_recall_counts_the_rows_whose_answer_stands_in_the_corpus(corpus: Path) -> None:
    found = evidence_of(["308", "308", "308", "never"], [[1, 0], [0, 1], [], [1]], PASSAGES, corpus)
    recall = recall_of(found.with_columns(score=pl.Series([1.0, 0.5, 0.0, 0.0])), 2)
    assert recall is not None
    assert (recall.no_hit, recall.in_corpus, recall.recall) == (0.25, 0.75, pytest.approx(2 / 3))
    assert recall.mrr == pytest.approx((1 + 0.5 + 0) / 3)
    assert recall.used == pytest.approx(0.75)
    assert recall.in_words.endswith("for 25% of the requests; where the answer was shown, the score is 0.750")


def test_of_answers_that_are_no_free_text_only_hits_are_counted() -> None:
    evidence = evidence_of(['{"a": 1}'] * 2, [[0], []], PASSAGES, None)
    recall = recall_of(evidence.with_columns(score=1.0), 2)
    assert recall is not None
    assert (recall.no_hit, recall.in_corpus, recall.recall, recall.mrr) == (0.5, None, None, None)
    assert recall.in_words == "nothing was found for 50% of the requests"


def test_an_arm_that_retrieves_nothing_still_tells_which_answers_the_corpus_contains(corpus: Path) -> None:
    found = evidence_of(["308", "never"], [[], []], PromptContext(), corpus)
    assert found["in_corpus"].to_list() == [True, False]
    assert found["shown"].null_count() == 2
    assert recall_of(found, None) is None


def test_of_train_rows_the_one_with_the_same_answer_counts() -> None:
    rows = PromptContext(examples=tuple(Example(Request("?"), one) for one in ("Billing.", "Refund")), top_k=1)
    found = evidence_of(["billing", "refund", "other"], [[0], [0], [1]], rows, None)
    assert found["found"].to_list() == [1, None, None]
    assert found["in_corpus"].to_list() == [True, True, False]
