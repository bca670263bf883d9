"""A scorer of the user's own: what it gives, and what becomes of one that does what it may not."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from schemas.errors import ConfigRefused
from schemas.sections.task import ScoringConfig, TaskConfig
from tasks.answers.scoring import Scorer

GOOD = "import math\n\ndef score(output, gold):\n    return 1 / math.sqrt(1 + abs(len(output) - len(gold)))\n"


def own(source: str, seconds: float = 20) -> Scorer:
    task = TaskConfig(
        instruction="x", metric="scorers/mine.py:score", scorer=source, scoring=ScoringConfig(seconds=seconds)
    )
    return Scorer.for_task(task, Path())


def test_a_scorer_of_the_users_own_gives_its_score_and_others_stand_beside_it() -> None:
    marks = own(GOOD).score_rows([(7, "abc", "abc"), (8, "abcdef", "abc"), (9, "é\n\u2028", "abc")])
    assert [mark.score for mark in marks] == [1, 0.5, 1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("return 1 / len(output)", "raises ZeroDivisionError in line 2"),
        ("raise SystemExit(0)", "raises SystemExit in line 2"),
        ("while output == '': pass\n    return 1", "takes longer than 2 s"),
        ("print('score')\n    return 1", "prints"),
        ("import os; os.write(2, b'x')\n    return 1", "prints"),
        ("import os; os.fork()\n    return 1", "forks"),
        ("import os\n    try:\n        os.fork()\n    except OSError:\n        pass\n    return 1", "forks"),
        ("import subprocess; subprocess.run(['true'])\n    return 1", "starts a process"),
        ("import threading; threading.Timer(9, print).start()\n    return 1", "leaves a thread running"),
        ("open('left', 'w')\n    return 1", "opens a file to write"),
        ("import os; os._exit(0)", "ends its process"),
        ("return '1'", "returns a str, not a number"),
        ("return 1.5", "returns 1.5, not a number from 0 to 1"),
        ("return float('nan')", "returns nan"),
    ],
)
def test_a_scorer_that_does_what_it_may_not_ends_with_the_row_named(body: str, told: str) -> None:
    bad = own(f"def score(output, gold):\n    {body}\n", seconds=2)
    with pytest.raises(ConfigRefused, match=rf"scorers/mine.py:score {told}.*on row 41") as refusal:
        bad.score_rows([(41, "", "secret reference")])
    assert refusal.value.exit_code == 2 and "secret" not in str(refusal.value)


@pytest.mark.slow
def test_a_scorer_that_loops_while_it_is_loaded_or_breaks_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.answers.metrics.own.START_SECONDS", 2.0)
    started = time.monotonic()
    for head, told in (("while True: pass", "takes longer than 2 s"), ("import nowhere", "raises ModuleNotFoundError")):
        with pytest.raises(ConfigRefused, match=told):
            own(f"{head}\n{GOOD}").score_rows([(1, "a", "a")])
    assert time.monotonic() - started < 30
