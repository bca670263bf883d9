"""For every setting: the stages that `plan` names are the stages that `run` runs. Flow body, keys, sources and store
are the real ones; a stand-in for every engine seals the digest of its arguments, so "depends" has to come true too.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from flows.finetune import finetune
from flows.inputs.config_file import read_config
from schemas.artifacts import Artifact
from schemas.champion import Champion, RegistryLookup
from schemas.config import RunConfig, StageName
from schemas.sections.section import Section
from tasks.reuse.keys import digest_of
from tasks.reuse.planning import planning
from tasks.reuse.progress import Reporter, current_reporter
from tasks.reuse.stage import Stage, WorkDirectory
from tests.flows.conftest import small_config, write_rows
from tests.flows.other_values import EDITS
from tests.tiny_model import TEMPLATE, write_tiny_model

FACTS = {"train_rows": 99, "is_sufficient": False, "promotes": True, "problem": ""}


class Listener(Reporter):
    def __init__(self) -> None:
        self.ran: list[str] = []

    def stage_finished(self, label: str, how: str, seconds: float, peak_bytes: int) -> None:
        if how == "ran":
            self.ran.append(label)


def every_setting(model: type[BaseModel] = RunConfig, before: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from every_setting(field.annotation, f"{before}{name}.")
        else:
            yield f"{before}{name}"


SETTINGS = [name for name in every_setting() if EDITS.get(name, ...) is not None]


def edited(config: RunConfig, name: str) -> RunConfig | None:
    """Return the config with another value of one setting, or None where none fits the rest."""
    table = config.model_dump(mode="json")
    *sections, last = name.split(".")
    section = table
    for part in sections:
        section = section[part]
    now = section[last]
    for value in [EDITS[name]] if name in EDITS else others(RunConfig, name, now):
        section[last] = value
        try:
            made = RunConfig.model_validate(table)
        except ValidationError:
            continue
        if made != config:
            return made
    return None


def others(model: type[BaseModel], name: str, now: Any) -> list[Any]:
    """Return values that a setting of this kind may have, other than the one it has."""
    first, _, rest = name.partition(".")
    kind = model.model_fields[first].annotation
    if rest:
        assert isinstance(kind, type)
        return others(kind, rest, now)
    choices = [value for part in (kind, *get_args(kind)) for value in get_args(part) if isinstance(value, str)]
    if isinstance(now, bool):
        return [not now]
    if isinstance(now, (int, float)):
        return [now + 1, now * 0.9, now + 0.01]
    if isinstance(now, list):
        return [now[:-1], now[1:]]
    if isinstance(now, str):
        return [choice for choice in choices if choice != now] or [f"{now}-2"]
    return [*choices, 3, 0.5, "group"]


def every_stage() -> list[Stage[Any]]:
    rooms = [module for name, module in sys.modules.items() if name.startswith("tasks.") and name.endswith(".task")]
    return list(
        {id(found): found for room in rooms for found in vars(room).values() if isinstance(found, Stage)}.values()
    )


def test_every_stage_and_nothing_else_can_be_given_limits() -> None:
    assert {stage.name for stage in every_stage()} == set(get_args(StageName))


def stand_in(stage: Stage[Any]) -> Any:
    """Return a function that seals what its key is made of, source and libraries aside."""

    def function(*, workdir: WorkDirectory, **arguments: Any) -> Artifact:
        moves = {
            name: value
            for name, value in stage.ingredients(arguments).items()
            if not name.startswith(("source.tasks.", "source.schemas.", "library."))
        }
        (workdir.out / "summary.md").write_text(digest_of(moves), encoding="utf-8")
        (workdir.out / "refused.json").write_text("[]", encoding="utf-8")
        fields = {name: of for name, of in stage.returns.model_fields.items() if name != "digest"}
        return stage.returns.model_validate({name: fact(name, of.annotation) for name, of in fields.items()})

    function.__module__ = stage.function.__module__
    function.__annotations__ = stage.function.__annotations__
    return function


def fact(name: str, kind: Any) -> Any:
    if get_origin(kind) in (tuple, dict):
        return get_origin(kind)()
    if get_origin(kind) is Literal:
        return get_args(kind)[0]
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind(**{inner: fact(inner, of.annotation) for inner, of in kind.model_fields.items()})
    return FACTS.get(name, {int: 1, float: 0.5, bool: False, str: "some"}.get(kind))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunConfig]:
    """A sealed run, its engines stood in for, in a folder with the files that the edits name."""
    folder = tmp_path_factory.mktemp("house")
    for model in ("model", "other model"):
        (folder / model).mkdir()
        write_tiny_model(folder / model)
    (folder / "mine.jinja").write_text("Hello. " + TEMPLATE)
    config_file = folder / "other model" / "config.json"
    config_file.write_text(json.dumps(json.loads(config_file.read_text()) | {"initializer_range": 0.03}))
    write_rows(folder / "rows.jsonl")
    write_rows(folder / "other.jsonl", count=70)
    (folder / "checks.yaml").write_text("columns: {prompt: {str_length: {min_value: 1}}}")
    (folder / "documents").mkdir()
    (folder / "documents" / "one.md").write_text("A document.")
    (folder / "small.yaml").write_text(yaml.safe_dump(small_config(folder / "model") | {"base": {"model": "model"}}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TUNEWORTHY_STORE", str(folder / "store"))
        patch.setattr(
            "tasks.reuse.stage.hand_back", lambda: None
        )  # nothing is held, and looking through all of torch's objects takes most of the time
        for stage in every_stage():
            patch.setattr(stage, "function", stand_in(stage))
        config = read_config(folder / "small.yaml")
        assert len(run(config)) > 12
        yield config


@pytest.fixture(autouse=True)
def _in_the_house(_own_store: None, house: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test here stands on the one sealed run."""
    monkeypatch.setenv("TUNEWORTHY_STORE", str(Path(house.folder) / "store"))


def run(config: RunConfig) -> list[str]:
    listener = Listener()
    token = current_reporter.set(listener)
    try:
        finetune.fn(config)
    finally:
        current_reporter.reset(token)
    return listener.ran


def assert_kept(config: RunConfig) -> list[str]:
    """Plan, run, compare; return what ran."""
    with planning() as plan:
        finetune.fn(config)
    named = [stage.label for stage in plan.stages if stage.outlook in ("will run", "depends")]
    assert run(config) == named
    with planning() as after:
        finetune.fn(config)
    assert after.is_all_hits
    return named


@pytest.mark.parametrize("name", SETTINGS)
def test_what_a_plan_names_for_an_edit_of_one_setting_is_what_runs(house: RunConfig, name: str) -> None:
    config = edited(house, name)
    assert config is not None, f"no other value of {name} fits: add one to EDITS"
    assert_kept(config)


def test_examples_beside_passages_are_shown_by_the_retrieval_arm_and_by_no_other(house: RunConfig) -> None:
    with_documents = edited(house, "data.corpus")
    assert with_documents is not None
    run(with_documents)
    retrieval = with_documents.arms.retrieval.model_copy(update={"shots": 1})
    named = assert_kept(
        with_documents.model_copy(update={"arms": with_documents.arms.model_copy(update={"retrieval": retrieval})})
    )
    assert [name for name in named if name.startswith("score_arm")] == ["score_arm[retrieval]"]


def test_a_teacher_labels_first_and_another_key_price_or_pace_asks_nobody_again(house: RunConfig) -> None:
    teacher = {"data": house.data.model_copy(update={"teacher": "incumbent"})}
    taught = (edited(house, "arms.endpoints") or house).model_copy(update=teacher)
    assert assert_kept(taught)[0] == "label_rows"
    other = taught.arms.endpoints["incumbent"].model_copy(
        update={"key": None, "requests_per_minute": 9.0, "seconds": 5.0, "price_in": 2.0}
    )
    arms = taught.arms.model_copy(update={"endpoints": {"incumbent": other}})
    named = assert_kept(taught.model_copy(update={"arms": arms}))
    assert not [name for name in named if name.startswith(("label_rows", "validate_data", "score_"))]


def test_another_encoder_runs_the_index_and_what_searches_it_and_no_other_arm(house: RunConfig) -> None:
    named = []
    for encoder in ("model", "other model"):
        retrieval = house.arms.retrieval.model_copy(update={"search": "fused", "encoder": encoder})
        arms = house.arms.model_copy(update={"retrieval": retrieval})
        named = assert_kept(house.model_copy(update={"arms": arms}))
    expected = ["score_arm[retrieval]", "score_arm[tuned_retrieval]"]
    assert [name for name in named if name.startswith(("index", "score_arm", "train"))] == ["index_texts", *expected]


@pytest.mark.slow
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(st.sampled_from(SETTINGS), min_size=2, max_size=4, unique=True))
def test_what_a_plan_names_for_edits_of_several_settings_is_what_runs(house: RunConfig, names: list[str]) -> None:
    config = house
    for name in names:
        config = edited(config, name) or config
    assert_kept(config)


def test_rows_that_changed_run_all_that_stands_on_them_and_nothing_else(house: RunConfig) -> None:
    before = assert_kept(house)
    write_rows(Path(house.folder) / "rows.jsonl", count=61)
    named = assert_kept(house)
    assert before == []
    assert named[0] == "validate_data"
    assert "fetch_base" not in named


@pytest.mark.slow
def test_a_champion_runs_what_sets_it_beside_the_arms_and_another_version_of_it_what_names_the_version(
    house: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with planning() as plan:
        finetune.fn(house)
    sealed = plan.artifacts
    settings = {
        "model": "small",
        "adapter_digest": sealed["validate_data"].digest,
        "base_digest": sealed["fetch_base"].digest,
    }  # some whole artifact
    champion = Champion(
        version="3",
        arm_settings='{"name": "tuned", "max_new_tokens": 4}',
        data_digest=sealed["validate_data"].digest,
        **settings,
    )

    def stands(version: str) -> None:
        look = RegistryLookup(champion=champion.model_copy(update={"version": version}))
        monkeypatch.setattr("flows.champion.find_champion", lambda *_: look)

    stands("3")
    assert assert_kept(house) == [
        *("fetch_champion", "find_learned_rows", "score_champion", "compare_champion"),
        *("write_report", "track_verdict", "register_adapter"),
    ]
    stands("4")
    assert assert_kept(house)[0] == "compare_champion"
    assert assert_kept(house) == []


@pytest.mark.slow
def test_rows_of_a_database_run_nothing_when_another_query_gives_the_same_and_all_that_stands_on_them_when_one_changed(
    house: RunConfig,
) -> None:
    def asking(query: str) -> RunConfig:
        data = house.data.model_copy(update={"source": "sqlite:///rows.sqlite", "query": query})
        return house.model_copy(update={"data": data})

    rows = [json.loads(line) for line in (Path(house.folder) / "rows.jsonl").read_text().splitlines()]
    with sqlite3.connect(Path(house.folder) / "rows.sqlite") as database:
        database.execute('create table rows (prompt text, completion text, "group" text)')
        database.executemany("insert into rows values (:prompt, :completion, :group)", rows)
    assert assert_kept(asking("select * from rows"))[0] == "validate_data"
    assert assert_kept(asking("select * from rows order by prompt desc")) == []
    with database:
        database.execute("update rows set completion = 'grey' where rowid = 7")
    database.close()
    assert assert_kept(asking("select * from rows"))[0] == "validate_data"
