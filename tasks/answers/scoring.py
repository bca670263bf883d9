"""The score of one answer, from 0 to 1, and whether it meets the contract.

Every answer is read both ways: strictly, as a program would, where only white space around it is ignored, and leniently
(tasks/answers/lenient.py), past the words around it. `task.reading` names the reading that the score and the contract
(tasks/answers/contract.py) are about; the other one tells what is only a matter of form.
"""

from __future__ import annotations

import functools
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.answers.contract import DATABASE, Check, contract_of
from tasks.answers.lenient import Read, lenient_reader

if TYPE_CHECKING:
    from schemas.sections.task import TaskConfig
    from tasks.answers.database import Row

Measure = Callable[[str, str], float]

ARTICLES = re.compile(r"\b(a|an|the)\b")
WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True)
class Scored:
    """The score of one answer and whether it meets the contract, in the reading of the config; and both readings."""

    score: float
    is_valid: bool
    strict: float
    lenient: float


class Scorer:
    """Scores answers by one metric and checks them by one contract."""

    def __init__(self, measure: Measure, check: Check, read: Read, *, is_lenient: bool) -> None:
        self._measure = measure
        self._check = check
        self._read = read
        self._is_lenient = is_lenient

    @classmethod
    def for_task(cls, task: TaskConfig, folder: Path) -> Scorer:
        """Return the scorer of a task.

        Args:
            task: its metric, its contract and its reading.
            folder: the opened DataArtifact, with answer.sqlite or answer.schema.json if the task has one.

        Raises:
            ConfigRefused: the contract cannot be used.
            TuneworthyError: the contract's file is not in the folder.
        """
        check, read = contract_of(task, folder), lenient_reader(task.answer)
        return cls(_measure_of(task, folder), check, read, is_lenient=task.reading == "lenient")

    def score(self, output: str, gold: str) -> Scored:
        """Score a model's answer against the reference answer; the lenient score is never the lower one."""
        strict, is_valid = self._measure(output, gold), self._check(output) is None
        read = output if is_valid and strict == 1 else self._read(output)
        lenient = strict if read == output else max(strict, self._measure(read, gold))
        if self._is_lenient:
            return Scored(lenient, is_valid or self._check(read) is None, strict, lenient)
        return Scored(strict, is_valid, strict, lenient)


def _measure_of(task: TaskConfig, folder: Path) -> Measure:
    if task.metric == "sql_execution":
        return _sql_execution(folder / DATABASE)
    return {"json_fields": json_fields, "token_f1": token_f1}.get(task.metric, exact)


def exact(output: str, gold: str) -> float:
    """Return 1 if both are equal after Unicode NFC normalisation, with any run of white space as one space; case counts
    (``ls -l`` is not ``ls -L``).
    """
    return float(_spaced(output) == _spaced(gold))


def _spaced(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def json_fields(output: str, gold: str) -> float:
    """Return the share of equal fields among the fields of both objects; 0 if the output is not a JSON object.

    A nested object counts field by field, a list as one value. An extra field costs as much as a missing one.
    """
    from tasks.answers.objects import NotAnObject, is_same, leaves, read_object

    try:
        given, wanted = (dict(leaves(read_object(text))) for text in (output, gold))
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
    4.1).
    """
    given, wanted = _words(output), _words(gold)
    if not given or not wanted:
        return float(given == wanted)
    common = sum((Counter(given) & Counter(wanted)).values())
    return 2 * common / (len(given) + len(wanted))


def _words(text: str) -> list[str]:
    return ARTICLES.sub(" ", text.lower().translate(WITHOUT_PUNCTUATION)).split()


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
        given, wanted = result(output), wanted_result(gold)
        if not given or not wanted:
            return 0.0
        return float(given == wanted if is_ordered(gold) else Counter(given) == Counter(wanted))

    return measure
