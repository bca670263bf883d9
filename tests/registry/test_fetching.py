"""A champion is measured with what it retrieves from itself, whether the store makes that again or MLflow keeps it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.artifacts import DataArtifact
from schemas.champion import Champion
from schemas.errors import RegistryUnreachable
from schemas.sections.task import TaskConfig
from tasks.arms import scoring
from tasks.arms.settings import ArmSettings
from tasks.arms.task import score_champion
from tasks.inference.prompts.retrieval_file import FILE
from tasks.registry.champion import find_champion
from tasks.registry.task import fetch_champion
from tests.before_registry import INSTRUCTION, MODEL, Made, a_retrieval_verdict, sealed_rows


@pytest.fixture
def documents(made: Made) -> DataArtifact:
    return sealed_rows(
        made.store,
        {"texas.md": "the state of texas borders four states.", "idaho.md": "idaho and utah are states; the cat sat."},
    )


@pytest.fixture
def champion(made: Made, documents: DataArtifact) -> Champion:
    """A registered champion that carries passages."""
    made.register(a_retrieval_verdict(0.85), data=documents)
    found = find_champion("", MODEL, made.store).champion
    assert found is not None and found.carried_digest
    return found


@pytest.mark.slow
def test_what_is_served_has_one_digest_whether_it_comes_out_of_the_store_or_out_of_mlflow(
    made: Made, champion: Champion
) -> None:
    here, outside = fetch_champion(champion, None, ""), fetch_champion(champion, ("adapter_model.safetensors 1",), "")
    assert (here.digest, outside.digest, here.problem) == (champion.served_digest, champion.served_digest, "")
    assert here.instruction == "Be brief."
    assert "texas" in (made.store.open(here.digest) / FILE).read_text(encoding="utf-8")


def test_where_the_store_would_make_other_passages_mlflows_are_taken(champion: Champion) -> None:
    otherwise = json.dumps(json.loads(champion.arm_settings) | {"passage_words": 3})
    assert (
        fetch_champion(champion.model_copy(update={"arm_settings": otherwise}), None, "").digest
        == champion.served_digest
    )


@pytest.mark.slow
def test_a_champion_answers_from_its_own_passages_and_not_from_todays(
    made: Made, documents: DataArtifact, champion: Champion, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> None:
        raise AssertionError("today's passages were read")

    monkeypatch.setattr(scoring, "context_of", never)
    arm = ArmSettings.model_validate_json(champion.arm_settings)
    found = score_champion(
        arm, TaskConfig(instruction=INSTRUCTION), made.base, documents, fetch_champion(champion, None, ""), 7
    )
    assert (found.problem, found.rows, found.arm) == ("", documents.held_out_rows, "champion")


@pytest.mark.slow
def test_files_that_are_there_but_do_not_come_are_asked_for_again_instead_of_being_given_up(
    champion: Champion, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stalls(**_: Any) -> None:
        raise OSError("read timed out")

    there = ("adapter_model.safetensors 1",)
    with monkeypatch.context() as patch, pytest.raises(RegistryUnreachable, match="timed out"):
        patch.setattr("mlflow.artifacts.download_artifacts", stalls)
        fetch_champion(champion, there, "")
    assert fetch_champion(champion, there, "").problem == ""
