"""The score of one answer, from 0 to 1, and whether it meets the contract.

What a model reasons before its answer is passed over. The answer is read both ways: strictly, as a program would, where
only white space around it is ignored, and leniently (tasks/answers/lenient.py), past the words around it.
`task.reading` names the reading that the score and the contract (tasks/answers/contract.py) are about; the other one
tells what is only a matter of form.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import ConfigRefused
from tasks.answers.contract import DATABASE, Check, contract_of
from tasks.answers.lenient import Read, lenient_reader
from tasks.answers.metrics.choice import choice
from tasks.answers.metrics.contains import contains
from tasks.answers.metrics.exact import exact
from tasks.answers.metrics.json_fields import json_fields
from tasks.answers.metrics.numeric import last_number, numeric
from tasks.answers.metrics.own import OwnScorer, ScorerFailed
from tasks.answers.metrics.regex import regex
from tasks.answers.metrics.rouge_l import rouge_l
from tasks.answers.metrics.sql_execution import SqlExecution
from tasks.answers.metrics.squad import em, token_f1
from tasks.answers.metrics.tool_call import tool_call
from tasks.answers.metrics.translation import bleu, chrf
from tasks.answers.traces import after_trace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from schemas.sections.task import TaskConfig

Measure = Callable[[str, str], float]

PLAIN: dict[str, Measure] = {
    "exact": exact,
    "choice": choice,
    "token_f1": token_f1,
    "em": em,
    "rouge_l": rouge_l,
    "chrf": chrf,
    "bleu": bleu,
    "contains": contains,
    "tool_call": tool_call,
}


@dataclass(frozen=True)
class Scored:
    """The score of one answer and whether it meets the contract, in the reading of the config; both readings; and what
    the metrics that do not decide say, in the reading of the config.
    """

    score: float
    is_valid: bool
    strict: float
    lenient: float
    also: dict[str, float] = field(default_factory=dict)


class Scorer:
    """Scores answers by one metric and checks them by one contract."""

    def __init__(self, task: TaskConfig, measures: dict[str, Measure], check: Check, read: Read) -> None:
        self._task, self._check, self._lenient = task, check, read
        self._measure, self._also = measures[task.metric], {name: measures[name] for name in task.also}

    @classmethod
    def for_task(cls, task: TaskConfig, folder: Path) -> Scorer:
        """Return the scorer of a task.

        Args:
            task: its metrics, its contract and its reading.
            folder: the opened DataArtifact, with answer.sqlite or answer.schema.json if the task has one.

        Raises:
            ConfigRefused: the contract cannot be used.
            TuneworthyError: the contract's file is not in the folder.
        """
        measures = {name: measure_of(name, task, folder) for name in (task.metric, *task.also)}
        read = last_number if task.metric == "numeric" else lenient_reader(task.answer)
        return cls(task, measures, contract_of(task, folder), read)

    def read(self, output: str) -> str:
        """Return what of an answer is compared, in the reading of the config."""
        output = after_trace(output)
        return self._lenient(output) if self._task.reading == "lenient" else output

    def score(self, output: str, gold: str) -> Scored:
        """Score a model's answer against the reference answer; the lenient score is never the lower one."""
        output = after_trace(output)
        strict, is_valid = self._measure(output, gold), self._check(output) is None
        read = output if is_valid and strict == 1 else self._lenient(output)
        lenient = strict if read == output else max(strict, self._measure(read, gold))
        if self._task.reading == "lenient":
            is_valid, decides = is_valid or self._check(read) is None, lenient
            also = {name: max(measure(output, gold), measure(read, gold)) for name, measure in self._also.items()}
        else:
            decides, also = strict, {name: measure(output, gold) for name, measure in self._also.items()}
        return Scored(decides, is_valid, strict, lenient, also)

    def score_rows(self, rows: Iterable[tuple[int, str, str]]) -> list[Scored]:
        """Score (row, answer, reference) one by one.

        Raises:
            ConfigRefused: the user's own scorer fails on one; the message names the row.
        """
        marks = []
        for row, output, gold in rows:
            try:
                marks.append(self.score(output, gold))
            except ScorerFailed as fault:
                raise ConfigRefused(
                    f"task.metric: {self._task.metric} {fault}, on row {row}. It has to be a pure function of answer "
                    "and reference that returns a number from 0 to 1; task.scoring.seconds says how long it may take."
                ) from fault
        return marks


def measure_of(name: str, task: TaskConfig, folder: Path) -> Measure:
    """Return a metric with its settings; `folder` contains answer.sqlite where the task has one."""
    scoring = task.scoring
    if name in PLAIN:
        return PLAIN[name]
    if name == "sql_execution":
        return SqlExecution(folder / DATABASE, any_column_order=scoring.columns == "any_order")
    if name == "json_fields":
        is_set = scoring.lists == "set"
        return functools.partial(json_fields, tolerance=scoring.tolerance, lists_are_sets=is_set)
    if name == "numeric":
        return functools.partial(numeric, tolerance=scoring.tolerance)
    if name == "regex":
        return functools.partial(regex, pattern=scoring.pattern or "")
    return OwnScorer(task.scorer or "", name.rpartition(":")[2], scoring.seconds)
