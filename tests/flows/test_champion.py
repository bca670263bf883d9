"""A month of nights in small: rows grow, the champion is measured on today's rows and replaced or kept for a reason,
and can be set back.

Every part is the real one: the tiny model learns to say the last word of a request, versions lie in a SQLite MLflow.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from flows.champion import first_line, look_for_champion
from flows.command_line.results import Outcome, outcome_of
from flows.compare import without_training
from flows.finetune import finetune
from flows.inputs.config_file import read_config
from schemas.errors import RegistryUnreachable
from schemas.reports import ChampionReport
from tasks.registry.champion import find_champion
from tasks.registry.connection import open_registry
from tasks.registry.rolling_back import roll_back
from tasks.reuse.planning import Plan, planning
from tasks.reuse.store import ArtifactStore
from tests.flows.conftest import NEUTRAL, small_config, with_tables, write_rows
from tests.made_once import made_once
from tests.tiny_model import write_tiny_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
COMPARISON_STAGES = {"fetch_champion", "find_learned_rows", "score_champion", "compare_champion"}
Night = Callable[..., Outcome]


@pytest.fixture(scope="session")
def first_night(tmp_path_factory: pytest.TempPathFactory, migrated_database: Path) -> Path:
    """A folder with a config and a store in which one run has made version 1 the champion."""

    def make(folder: Path) -> None:
        write_tiny_model(folder / "model")
        write_rows(folder / "rows.jsonl", 120)
        config = small_config(folder / "model") | {
            "base": {"model": "model"},
            "decision": {"target": 0.3, "worth": 0.2},
        }
        config |= {
            "arms": {"untrained": ["prompt"], "trained": ["tuned"], "max_new_tokens": 4},
            "data": {"source": "rows.jsonl", "held_out": 0.3},
        }
        asked = {"tasks": ["general_mini_grammar"], "limit": 6, "margin": 1.0, "require": "not_lost"}
        config |= {"benchmark": asked | NEUTRAL}
        config["training"] |= {"epochs": 3, "learning_rate": 0.02, "validation": 0}
        (folder / "small.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TUNEWORTHY_STORE", str(with_tables(folder / "store", migrated_database)))
            patch.delenv("MLFLOW_TRACKING_URI", raising=False)
            finetune.fn(read_config(folder / "small.yaml"))

    return made_once(tmp_path_factory, "first_night", make)


@pytest.fixture
def folder(first_night: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the first night for one test to go on from."""
    own = shutil.copytree(first_night, tmp_path / "nights")
    point_elsewhere(own / "store" / "mlflow.db", str(first_night), str(own))
    monkeypatch.setenv("TUNEWORTHY_STORE", str(own / "store"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return own


def point_elsewhere(database: Path, before: str, now: str) -> None:
    """Replace a path wherever it stands in an MLflow database."""
    with contextlib.closing(sqlite3.connect(database)) as found, found:
        for (table,) in found.execute("select name from sqlite_master where type = 'table'").fetchall():
            for _, column, *_ in found.execute(f'pragma table_info("{table}")').fetchall():
                change = f'update "{table}" set "{column}" = replace("{column}", ?, ?) where instr("{column}", ?)'
                found.execute(change, (before, now, before))


@pytest.fixture
def night(folder: Path) -> Night:
    """Run the config with overrides and return the outcome."""

    def run(*overrides: str) -> Outcome:
        finetune.fn(read_config(folder / "small.yaml", list(overrides)))
        found = outcome_of(planned(folder, *overrides))
        assert found is not None
        return found

    return run


def planned(folder: Path, *overrides: str) -> Plan:
    with planning() as plan:
        finetune.fn(read_config(folder / "small.yaml", list(overrides)))
    return plan


def will_run(plan: Plan) -> set[str]:
    return {stage.label for stage in plan.stages if stage.outlook != "hit"}


def aliases(store: ArtifactStore) -> dict[str, str]:
    with open_registry("", store, "") as registry:
        return {
            name: str(version)
            for name, version in registry.client.get_registered_model("small").aliases.items()
            if not name.startswith("sha-")
        }


def comparison_in(outcome: Outcome) -> ChampionReport:
    assert outcome.verdict.champion is not None, outcome.verdict.champion_note
    return outcome.verdict.champion


def test_the_first_adapter_becomes_champion_and_a_night_with_the_same_rows_runs_nothing(
    folder: Path, night: Night
) -> None:
    plan = planned(folder)
    assert plan.is_all_hits
    assert not COMPARISON_STAGES & {stage.label for stage in plan.stages}
    assert (aliases(ArtifactStore(folder / "store")), night().verdict.champion_note) == (
        {"champion": "1"},
        "there is no champion yet",
    )


def test_rows_that_grew_keep_a_champion_that_too_few_rows_tell_apart_and_replace_it_where_the_interval_is_narrow_enough(
    folder: Path, night: Night
) -> None:
    store = ArtifactStore(folder / "store")
    write_rows(folder / "rows.jsonl", 160)
    assert will_run(planned(folder)) >= COMPARISON_STAGES
    kept = night("decision.worth=0")
    assert (
        comparison_in(kept).version,
        comparison_in(kept).outcome,
        comparison_in(kept).left_out,
        comparison_in(kept).rows,
    ) == ("1", "unclear", 0, kept.verdict.rows)
    assert aliases(store) == {"champion": "1", "challenger": "2"}
    assert will_run(planned(folder)) <= {
        "decide[untrained]",
        "decide",
        "compare_champion",
        "write_report",
        "track_verdict",
        "register_adapter",
    }
    replaced = night()
    assert (comparison_in(replaced).version, comparison_in(replaced).outcome) == ("1", "not_worse")
    assert aliases(store) == {"champion": "2", "previous": "1"}
    assert "not worse than the champion, version 1" in replaced.report.read_text(encoding="utf-8")
    assert planned(folder).is_all_hits
    assert roll_back("", "small", None, store).version == "1"
    assert planned(folder).is_all_hits
    assert aliases(store) == {"champion": "1", "previous": "2"}
    assert "since then version 1 was made champion" in replaced.registration("1")


def test_a_champion_whose_adapter_the_store_has_lost_is_measured_with_mlflows_copy_under_its_own_digest(
    folder: Path, night: Night
) -> None:
    store = ArtifactStore(folder / "store")
    champion = find_champion("", "small", store).champion
    assert champion is not None
    write_rows(folder / "rows.jsonl", 160)
    whole = planned(folder)
    shutil.rmtree(store.root / "artifacts" / champion.adapter_digest)
    outcome = night()
    assert comparison_in(outcome).version == "1"
    assert outcome.plan.artifacts["fetch_champion"].digest == champion.served_digest
    assert will_run(whole) >= {"fetch_champion"}


def test_a_copy_in_mlflow_that_was_altered_is_refused_with_the_reason_and_the_new_adapter_is_a_challenger(
    folder: Path, night: Night
) -> None:
    store = ArtifactStore(folder / "store")
    champion = find_champion("", "small", store).champion
    assert champion is not None
    (packed,) = (folder / "store" / "mlartifacts").rglob("adapter_model.safetensors")
    write_rows(folder / "rows.jsonl", 160)
    shutil.rmtree(store.root / "artifacts" / champion.adapter_digest)
    packed.write_bytes(packed.read_bytes()[:-1] + b"?")
    outcome = night()
    assert outcome.verdict.champion is None
    assert "are not the ones that were registered" in outcome.verdict.champion_note
    assert aliases(store) == {"champion": "1", "challenger": "2"}
    assert outcome.plan.is_all_hits


def test_rows_that_the_champion_learned_are_left_out_when_another_seed_splits_them_otherwise(night: Night) -> None:
    outcome = night("seed=4")
    found = comparison_in(outcome)
    assert (found.left_out > 0, found.rows + found.left_out) == (True, outcome.verdict.rows)
    assert "that it may have learned are left out" in found.reasons[0]


def test_without_an_answer_of_mlflow_no_champion_is_measured_and_the_report_says_why(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows(folder / "rows.jsonl", 160)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(RegistryUnreachable):
        finetune.fn(read_config(folder / "small.yaml"))
    plan = planned(folder)
    outcome = outcome_of(plan)
    assert outcome is not None
    assert will_run(plan) == {"track_verdict", "register_adapter"}
    assert outcome.verdict.champion_note == "MLflow at http://127.0.0.1:9 does not answer, so no champion was measured"
    assert outcome.verdict.champion_note in outcome.report.read_text(encoding="utf-8")


def test_the_untrained_arms_alone_ask_no_registry(folder: Path) -> None:
    assert look_for_champion(without_training(read_config(folder / "small.yaml"))) is None


def test_no_row_is_told_in_the_reason_why_a_champion_was_not_measured() -> None:
    told = (
        "1 of 20 golden rows are rendered differently, first row 7 (train):\n  sealed: 'Order 46400 of Ada Byron', 9 "
        "tokens\nTake other versions."
    )
    assert first_line(told) == "1 of 20 golden rows are rendered differently, first row 7 (train)"
