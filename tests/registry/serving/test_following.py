"""The looks at an alias go on whatever one of them ends in."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

from tasks.registry.serving.following import Followed


def test_a_look_that_fails_in_any_way_is_said_and_the_next_one_takes_over() -> None:
    answers, said, closed = iter(["1", OSError("the disk is full"), "2"]), list[str](), threading.Event()

    def find() -> str:
        answer = next(answers, "2")
        if isinstance(answer, OSError):
            raise answer
        return answer

    def load(version: str) -> Any:
        return SimpleNamespace(name="tickets@champion", version=version, engine=SimpleNamespace(close=closed.set))

    followed = Followed(find, load, said.append, 0.01)
    assert closed.wait(10)
    assert followed.now.version == "2"
    assert said[0] == "tickets@champion stays at version 1: the disk is full"
    followed.close()
