"""The score of one answer, from 0 to 1, and whether it meets the contract.

The two are separate on purpose. The score says whether the content is right: `json_fields` and `sql_execution` ignore
one code fence around the answer, `exact` and `token_f1` ignore differences in white space, so that an untrained arm is
not judged by its form. `is_valid` says whether a program could use the answer as it is (tasks/answers/contract.py).
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.answers.contract import DATABASE, Check, contract_of
from tasks.answers.scripts import folded, words_of

if TYPE_CHECKING:
    from schemas.sections.task import TaskConfig
    from tasks.answers.database import Row

Measure = Callable[[str, str], float]

FENCE = re.compile(r"\s*```[\w+-]*[ \t]*\n(.*?)\n?[ \t]*```\s*", re.DOTALL)


@dataclass(frozen=True)
class Scored:
    """The score of one answer, from 0 to 1, and whether it meets the contract."""

    score: float
    is_valid: bool


class Scorer:
    """Scores answers by one metric and checks them by one contract."""

    def __init__(self, measure: Measure, check: Check) -> None:
        self._measure = measure
        self._check = check

    @classmethod
    def for_task(cls, task: TaskConfig, folder: Path) -> Scorer:
        """Return the scorer of a task.

        Args:
            task: its metric and its contract.
            folder: the opened DataArtifact, with answer.sqlite or answer.schema.json if the task has one.

        Raises:
            ConfigRefused: the contract cannot be used.
            TuneworthyError: the contract's file is not in the folder.
        """
        return cls(_measure_of(task, folder), contract_of(task, folder))

    def score(self, output: str, gold: str) -> Scored:
        """Score a model's answer against the reference answer."""
        return Scored(self._measure(output, gold), self._check(output) is None)


def _measure_of(task: TaskConfig, folder: Path) -> Measure:
    if task.metric == "sql_execution":
        return _sql_execution(folder / DATABASE)
    if task.metric == "json_fields":
        return json_fields
    if task.metric == "token_f1":
        return token_f1
    labels = task.answer.labels if task.answer.format == "choice" else ()
    folds_case = bool(labels) and len({_spaced(label).casefold() for label in labels}) == len(
        {_spaced(label) for label in labels}
    )
    return functools.partial(exact, folds_case=folds_case)


def without_fence(text: str) -> str:
    """Return the content of the code fence if the whole text is one, otherwise the text."""
    found = FENCE.fullmatch(text)
    return found[1] if found else text


def exact(output: str, gold: str, *, folds_case: bool = False) -> float:
    """Return 1 if both are equal in their characters' plain forms, with any run of white space as one space.

    Case matters in free text (``ls -l`` is not ``ls -L``); among labels it does not, unless two labels differ only in
    case.
    """
    one, other = _spaced(output), _spaced(gold)
    return float(one.casefold() == other.casefold() if folds_case else one == other)


def _spaced(text: str) -> str:
    return " ".join(folded(text).split())


def json_fields(output: str, gold: str) -> float:
    """Return the share of equal fields among the fields of both objects; 0 if the output is not a JSON object.

    A nested object counts field by field, a list as one value. An extra field costs as much as a missing one.
    """
    from tasks.answers.objects import NotAnObject, is_same, leaves, read_object

    try:
        given, wanted = (dict(leaves(read_object(text))) for text in (without_fence(output), gold))
    except (NotAnObject, RecursionError):
        return 0.0
    fields = given.keys() | wanted.keys()
    if not fields:
        return 1.0
    return sum(field in given and field in wanted and is_same(given[field], wanted[field]) for field in fields) / len(
        fields
    )


def token_f1(output: str, gold: str) -> float:
    """Return the F1 of the common words as in SQuAD: lower case, no punctuation, no articles (Rajpurkar et al. 2016,
    4.1); in scripts without spaces each character is a word.
    """
    given, wanted = words_of(output), words_of(gold)
    if not given or not wanted:
        return float(given == wanted)
    common = sum((Counter(given) & Counter(wanted)).values())
    return 2 * common / (len(given) + len(wanted))


def _sql_execution(file: Path) -> Measure:
    """Return a metric that is 1 if both queries return the same rows, in the same order if the gold query orders them.

    Otherwise rows are compared as a multiset; the order of columns matters, their names do not. An empty or failed
    result scores 0, even if the gold query's result is empty too.
    """
    from tasks.answers.database import Database, QueryFailed, comparable, is_ordered

    database = Database(file, file.name)

    def result(query: str) -> tuple[Row, ...]:
        try:
            return tuple(map(comparable, database.rows(query)))
        except QueryFailed:
            return ()

    wanted_result = functools.lru_cache(maxsize=1024)(result)

    def measure(output: str, gold: str) -> float:
        given, wanted = result(without_fence(output)), wanted_result(gold)
        if not given or not wanted:
            return 0.0
        return float(given == wanted if is_ordered(gold) else Counter(given) == Counter(wanted))

    return measure
