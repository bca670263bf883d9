"""Who the champion is, is asked of MLflow only when its answer may have changed, and remembered where MLflow does not
answer.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from schemas.champion import RegistryLookup, SplitRule
from tasks.registry import champion as looking
from tasks.registry.champion import find_champion
from tasks.registry.connection import default_uri, open_registry
from tasks.registry.fetching import served_digest
from tests.before_registry import MODEL, SETTINGS, Made, a_comparison, a_verdict
from tests.random_adapter import sealed_adapter


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The models that MLflow was asked about."""
    models: list[str] = []
    ask = looking._look_up
    monkeypatch.setattr(looking, "_look_up", lambda registry, model: models.append(model) or ask(registry, model))
    monkeypatch.setattr(looking, "_did_not_answer", {})
    return models


def test_where_no_database_is_none_is_made_by_looking(tmp_path: Path, made: Made, asked: list[str]) -> None:
    found = find_champion(f"sqlite:///{tmp_path / 'none.db'}", MODEL, made.store)
    assert (found, asked) == (RegistryLookup(why_none="there is no champion yet"), [])
    assert not (tmp_path / "none.db").exists()


@pytest.mark.slow
def test_a_champion_tells_what_it_was_made_from_and_how_it_asks_and_whom_it_took_over_from(
    made: Made, tmp_path: Path, asked: list[str]
) -> None:
    made.register(a_verdict(0.85))
    other = sealed_adapter(made.store, made.base, tmp_path / "other", seed=2)
    made.register(a_verdict(0.9), other, comparison=a_comparison("better"))
    found = find_champion("", MODEL, made.store)
    assert found.champion is not None and found.before is not None
    told = found.champion
    assert (told.version, told.adapter_digest, told.base_digest, told.method, told.data_digest) == (
        "2",
        other.digest,
        made.base.digest,
        "lora",
        "d" * 64,
    )
    assert (told.arm_settings, told.split) == (SETTINGS["arm.tuned"], SplitRule(seed=7, held_out=0.2, group=None))
    assert told.served_digest == served_digest(made.store.open(other.digest))
    assert (found.before.version, found.before.adapter_digest) == ("1", made.adapter.digest)


@pytest.mark.slow
def test_an_unchanged_database_is_not_asked_again_and_a_changed_one_is(made: Made, asked: list[str]) -> None:
    made.register(a_verdict(0.85))
    first = find_champion("", MODEL, made.store)
    assert find_champion("", MODEL, made.store) == first
    assert asked == [MODEL]
    with open_registry("", made.store, "") as registry:
        registry.client.delete_registered_model_alias(MODEL, "champion")
    assert find_champion("", MODEL, made.store).champion is None
    assert asked == [MODEL, MODEL]


@pytest.mark.slow
def test_a_server_that_does_not_answer_is_not_asked_again_for_a_minute_and_what_it_said_before_is_marked(
    made: Made, asked: list[str]
) -> None:
    uri = "http://user:secret@127.0.0.1:9"
    none = find_champion(uri, MODEL, made.store)
    assert none.why_none == "MLflow at http://user:***@127.0.0.1:9 does not answer, so no champion was measured"
    started = time.monotonic()
    assert find_champion(uri, MODEL, made.store) == none
    assert time.monotonic() - started < 0.5
    made.register(a_verdict(0.85))
    said = find_champion("", MODEL, made.store)
    looking._remember(made.store, uri, MODEL, said, "")
    assert find_champion(uri, MODEL, made.store) == said.model_copy(update={"is_remembered": True})


@pytest.mark.slow
def test_a_remembered_answer_that_cannot_be_read_is_asked_for_again(made: Made, asked: list[str]) -> None:
    made.register(a_verdict(0.85))
    find_champion("", MODEL, made.store)
    looking._memo(made.store, default_uri(made.store), MODEL).write_text('{"look": {"champion": 3}, "mark": ""}')
    found = find_champion("", MODEL, made.store).champion
    assert found is not None and found.version == "1"
    assert len(asked) == 2


@pytest.mark.slow
def test_tags_that_a_person_or_another_release_wrote_end_no_run(made: Made, asked: list[str]) -> None:
    made.register(a_verdict(0.85))
    with open_registry("", made.store, "") as registry:
        registry.client.set_model_version_tag(MODEL, "1", "split", "train")
    found = find_champion("", MODEL, made.store).champion
    assert found is not None and found.split is None


@pytest.mark.slow
def test_a_database_with_settings_behind_its_name_is_looked_at_and_remembered(made: Made, asked: list[str]) -> None:
    made.register(a_verdict(0.85))
    found = [find_champion(f"{default_uri(made.store)}?timeout=60", MODEL, made.store).champion for _ in range(2)]
    assert [one and one.version for one in found] == ["1", "1"]
    assert asked == [MODEL]
