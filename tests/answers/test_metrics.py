"""Metrics: golden cases from their definitions, and agreement with the implementations that others measure with."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.sections.task import METRICS, TaskConfig
from tasks.answers.metrics.choice import OTHER, confusions, label_of, macro_f1
from tasks.answers.metrics.contains import contains
from tasks.answers.metrics.json_fields import json_fields
from tasks.answers.metrics.numeric import last_number, numeric
from tasks.answers.metrics.regex import regex
from tasks.answers.metrics.rouge_l import rouge_l
from tasks.answers.metrics.squad import em, token_f1
from tasks.answers.metrics.translation import bleu, chrf
from tasks.answers.scoring import Scorer

WORD = st.sampled_from(["the", "cat", "sat", "a", "mat", "on", "The", "mat.", "42"])
WORDS = st.lists(WORD, max_size=8).map(" ".join)


@pytest.mark.parametrize(
    ("output", "gold", "score"),
    [
        ("The Eiffel tower!", "eiffel tower", 1),
        ("in Paris, France", "Paris", 0.5),
        ("Paris Paris", "Paris", 2 / 3),
        ("Rome", "Paris", 0),
        ("", "Paris", 0),
        ("the", "a", 1),
    ],
)
def test_token_f1_counts_words_as_squad_does(output: str, gold: str, score: float) -> None:
    assert token_f1(output, gold) == pytest.approx(score)


@settings(deadline=None, max_examples=50)
@given(WORDS, WORDS)
def test_token_f1_and_em_agree_with_the_script_that_squad_is_measured_with(output: str, gold: str) -> None:
    from lm_eval.tasks.tydiqa.utils import exact_match_score, normalize_answer
    from lm_eval.tasks.tydiqa.utils import f1_score as squad_f1

    assert em(output, gold) == exact_match_score(output, gold, "en")
    if normalize_answer(output, "en") or normalize_answer(gold, "en"):
        assert token_f1(output, gold) == pytest.approx(squad_f1(output, gold, "en"))


@pytest.mark.parametrize(
    ("output", "gold", "score"),
    [
        ("police killed the gunman", "police kill the gunman", 3 / 4),
        ("the gunman kill police", "police kill the gunman", 2 / 4),
        ("Москва столица", "москва", 2 / 3),
        ("", "police", 0),
        ("", "", 0),
    ],
)
def test_rouge_l_is_the_f1_of_the_longest_common_subsequence(output: str, gold: str, score: float) -> None:
    assert rouge_l(output, gold) == pytest.approx(score)


@given(WORDS, WORDS)
def test_rouge_l_agrees_with_rouge_score(output: str, gold: str) -> None:
    from rouge_score.rouge_scorer import RougeScorer

    reference = RougeScorer(["rougeL"]).score(gold, output)["rougeL"].fmeasure
    assert rouge_l(output, gold) == pytest.approx(reference)


def defined_chrf(output: str, gold: str) -> float:
    """chrF2 by its definition: character n-grams without spaces, precision and recall averaged over n, then F2."""
    one, other = output.replace(" ", ""), gold.replace(" ", "")
    precisions, recalls = [], []
    for n in range(1, 7):
        given, wanted = (Counter(text[i : i + n] for i in range(len(text) - n + 1)) for text in (one, other))
        if given and wanted:
            common = (given & wanted).total()
            precisions.append(common / given.total())
            recalls.append(common / wanted.total())
    precision, recall = (sum(found) / max(1, len(found)) for found in (precisions, recalls))
    return 5 * precision * recall / (4 * precision + recall) if precision else 0.0


@pytest.mark.parametrize(("output", "gold"), [("the cat", "the cats sat"), ("abcdefg", "abcdxfg"), ("ab", "cd")])
def test_chrf_is_what_its_definition_says(output: str, gold: str) -> None:
    assert chrf(output, gold) == pytest.approx(defined_chrf(output, gold), abs=1e-3)
    assert chrf(gold, gold) == 1


def test_bleu_is_the_geometric_mean_of_its_precisions_with_a_penalty_for_brevity() -> None:
    assert bleu("the cat sat on the mat", "the cat sat on the mat") == pytest.approx(1)
    precisions = [5 / 6, 4 / 5, 3 / 4, 2 / 3]
    assert bleu("the cat sat on the rug", "the cat sat on the mat") == pytest.approx(math.prod(precisions) ** 0.25)
    assert bleu("the cat sat on", "the cat sat on the mat") == pytest.approx(math.exp(1 - 6 / 4))
    assert bleu("", "the cat") == 0


@pytest.mark.parametrize(
    ("output", "gold", "tolerance", "score"),
    [
        ("42", "42", 0, 1),
        (" 1,234.50 ", "1234.5", 0, 1),
        ("1e3", "1000", 0, 1),
        ("-.5", "-0.5", 0, 1),
        ("42 apples", "42", 0, 0),
        ("10.1", "10", 0.01, 1),
        ("10.11", "10", 0.01, 0),
        ("0.001", "0", 0.5, 0),
        ("9", "7 and 2 are 9", 0, 1),
        ("nine", "9", 0, 0),
        ("1.2.3", "1.2", 0, 0),
        ("9" * 400, "1e999", 0.5, 1),
    ],
)
def test_numeric_compares_one_number_with_the_last_one_of_the_reference(
    output: str, gold: str, tolerance: float, score: float
) -> None:
    assert numeric(output, gold, tolerance) == score


def test_the_lenient_number_is_the_last_one() -> None:
    assert last_number("3 boxes of 4 make 12.") == "12"
    assert last_number("none") == "none"
    task = TaskConfig(instruction="x", metric="numeric")
    found = Scorer.for_task(task, Path()).score("3 boxes of 4 make 12.", "12")
    assert (found.strict, found.lenient) == (0, 1)


@pytest.mark.parametrize(
    ("output", "gold", "score"),
    [
        ("It is Lisbon, of course", "lisbon", 1),
        ("Lisbonne", "Lisbon", 0),
        ("costs $5 (net)", "$5", 1),
        ("anything", " ", 0),
        ("new\n york", "New York", 1),
    ],
)
def test_contains_finds_the_reference_as_whole_words(output: str, gold: str, score: float) -> None:
    assert contains(output, gold) == score


def test_regex_compares_what_the_pattern_finds() -> None:
    pattern = r"#### (-?\d+)"
    assert regex("so it is #### 12", "6*2 #### 12", pattern) == 1
    assert regex("12", "6*2 #### 12", pattern) == 0
    assert regex("#### 13 #### 12", "#### 12", pattern) == 0
    assert regex("code AB-1", "AB-1", r"[A-Z]+-\d") == 1


@pytest.mark.parametrize(
    ("output", "gold", "settings", "score"),
    [
        ('{"a": [1, 2, 2]}', '{"a": [2, 1]}', {"lists_are_sets": True}, 1),
        ('{"a": [1]}', '{"a": [2, 1]}', {"lists_are_sets": True}, 0),
        ('{"a": [{"x": [1, 2]}]}', '{"a": [{"x": [2, 1]}]}', {"lists_are_sets": True}, 1),
        ('{"a": [1, 2]}', '{"a": [2, 1]}', {}, 0),
        ('{"a": 101, "b": 102}', '{"a": 100, "b": 100}', {"tolerance": 0.01}, 1 / 2),
        ('{"a": true}', '{"a": 1}', {"tolerance": 1}, 0),
    ],
)
def test_json_fields_compares_lists_and_numbers_as_the_config_says(
    output: str, gold: str, settings: dict[str, Any], score: float
) -> None:
    assert json_fields(output, gold, **settings) == pytest.approx(score)


LABELS = st.sampled_from(["a", "b", "c", OTHER])


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(LABELS, st.sampled_from(["a", "b", "c"])), min_size=1, max_size=12))
def test_macro_f1_agrees_with_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    answers, golds = zip(*pairs, strict=True)
    labels = sorted({*answers, *golds} - {OTHER})
    from sklearn.metrics import f1_score

    expected = f1_score(golds, answers, labels=labels, average="macro", zero_division=0)
    assert macro_f1(pairs) == pytest.approx(expected)


def test_confusions_name_reference_answer_and_rows_the_most_frequent_first() -> None:
    pairs = [("a", "a"), ("a", "b"), ("a", "b"), (OTHER, "c")]
    assert confusions(pairs) == [("b", "a", 2), ("c", OTHER, 1)]
    assert [label_of(text, ["new york", "x"]) for text in ("new  york\n", "New York")] == ["new york", OTHER]


@pytest.mark.parametrize(
    ("task", "told"),
    [
        ({"metric": "bleurt"}, "there is no metric"),
        ({"also": ["mine.py:score"]}, "there is no metric"),
        ({"also": ["exact"]}, "names a metric twice"),
        ({"also": ["choice"]}, 'needs answer.format "choice"'),
        ({"metric": "regex"}, "needs scoring.pattern"),
        ({"scoring": {"tolerance": 0.1}}, "scoring.tolerance is read by numeric and json_fields only"),
        ({"metric": "regex", "scoring": {"pattern": "("}}, "not a regular expression"),
        ({"metric": "mine.py:score"}, "does not define a function score"),
        ({"metric": "mine.py:score", "scorer": "def score(:"}, "is not Python"),
    ],
)
def test_metrics_that_cannot_be_used_are_refused_in_words(task: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        TaskConfig.model_validate({"instruction": "x"} | task)


def test_every_metric_that_a_config_may_name_gives_its_own_text_a_one() -> None:
    plain = [
        name
        for name in METRICS
        if name not in ("json_fields", "sql_execution", "choice", "tool_call", "regex", "exact")
    ]
    found = Scorer.for_task(TaskConfig(instruction="x", also=tuple(plain)), Path()).score("-12", "-12")
    assert found.also == pytest.approx(dict.fromkeys(plain, 1))
