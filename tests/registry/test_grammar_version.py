"""A version whose arm won with a grammar answers with it; the same adapter without one is another version."""

from __future__ import annotations

from functools import partial

import mlflow
import pytest

from schemas.sections.task import TaskConfig, TextAnswer
from tasks.registry.connection import default_uri
from tasks.registry.version.packaging import requirements
from tests import before_registry
from tests.before_registry import MODEL, Made, a_verdict, an_arm, sealed_rows


def test_a_version_is_served_with_the_grammar_that_its_arm_was_measured_with(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, data = a_verdict(0.85), sealed_rows(made.store)
    pattern = TextAnswer(pattern="(yes|no), [0-9]{2}")
    monkeypatch.setattr(before_registry, "TaskConfig", partial(TaskConfig, answer=pattern))
    held = plain.model_copy(
        update={"tuned_arm": "tuned+grammar", "arms": (*plain.arms, an_arm("tuned+grammar", 0.95, 0.4))}
    )
    assert [made.register(verdict, data=data).version for verdict in (held, plain, held)] == ["1", "2", "1"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", default_uri(made.store))
    free, kept = (mlflow.pyfunc.load_model(f"models:/{MODEL}/{one}").predict(["what"])[0] for one in ("2", "1"))
    assert kept.startswith(("yes, ", "no, "))
    assert not free.startswith(("yes", "no"))


def test_only_a_version_with_a_grammar_asks_for_its_library() -> None:
    assert requirements("lora", False, True)[-1].startswith("llguidance==")
    assert requirements("lora", True, True)[:-1] == requirements("lora", True)
