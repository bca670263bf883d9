"""Who becomes champion: placings, their audit tags, and a placing that died half-way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schemas.reports import ChampionReport
from tasks.registry.connection import open_registry
from tests.before_registry import MODEL, Made, a_comparison, a_verdict, listening
from tests.random_adapter import sealed_adapter


@pytest.mark.slow
@pytest.mark.parametrize(
    ("comparison", "verdict", "alias", "why"),
    [
        (a_comparison("better"), "finetune", "champion", "tuned is better"),
        (a_comparison("not_worse"), "finetune", "champion", "tuned is not_worse"),
        (a_comparison("unclear"), "finetune", "challenger", "tuned is unclear"),
        (a_comparison("worse"), "finetune", "challenger", "tuned is worse"),
        (
            a_comparison("better", version="7"),
            "finetune",
            "challenger",
            "the champion is now version 1, and this one was compared with version 7; run again",
        ),
        (None, "finetune", "challenger", "the champion, version 1, was not measured on today's rows: it is gone"),
        (a_comparison("better"), "undecided", "challenger", "does not meet the target at 95% confidence"),
    ],
)
def test_a_second_adapter_becomes_champion_only_where_it_is_not_worse_than_the_champion_on_the_same_rows(
    comparison: ChampionReport | None, verdict: str, alias: str, why: str, made: Made, tmp_path: Path
) -> None:
    first = made.register(a_verdict(0.85))
    other = sealed_adapter(made.store, made.base, tmp_path / "other", seed=2)
    lines: list[str] = []
    with listening(lines):
        second = made.register(a_verdict(0.9, verdict), other, comparison=comparison, why_not="it is gone")
    assert (first.alias, second.version, second.alias) == ("champion", "2", alias)
    assert why in lines[-1]
    assert aliases(made) == (
        {"champion": "2", "previous": "1"} if alias == "champion" else {"champion": "1", "challenger": "2"}
    )


@pytest.mark.slow
def test_an_adapter_that_is_held_back_is_a_challenger_although_there_is_no_champion(made: Made) -> None:
    lines: list[str] = []
    with listening(lines):
        placed = made.register(a_verdict(0.85).model_copy(update={"held_back": "tuned is worse on a slice"}))
    assert placed.alias == "challenger" and "as challenger: tuned is worse on a slice" in lines[-1]


def aliases(made: Made) -> dict[str, str]:
    """Return alias -> version, the index by content left out."""
    with open_registry("", made.store, "") as registry:
        found = registry.client.get_registered_model(MODEL).aliases.items()
    return {name: str(version) for name, version in found if not name.startswith("sha-")}


@pytest.mark.slow
def test_a_placing_leaves_tags_on_the_version_and_an_audit_row_that_the_next_one_does_not_overwrite(
    made: Made, tmp_path: Path
) -> None:
    made.register(a_verdict(0.85))
    other = sealed_adapter(made.store, made.base, tmp_path / "other", seed=2)
    made.register(a_verdict(0.9), other, comparison=a_comparison("better"))
    made.register(a_verdict(0.91), other, comparison=a_comparison("better"))  # the champion already: no move, no row
    with open_registry("", made.store, "") as registry:
        tags = registry.client.get_model_version(MODEL, "2").tags
        old = registry.client.get_model_version(MODEL, "1").tags
        rows = [
            json.loads(text)
            for name, text in sorted(registry.client.get_registered_model(MODEL).tags.items())
            if name.startswith("audit.")
        ]
        runs = {run.info.run_id for run in registry.client.search_runs([registry.experiment("tiny")])}
    numbers = {
        "champion_score": "0.800000",
        "challenger_score": "0.850000",
        "difference_low": "0.010000",
        "difference_high": "0.090000",
    }
    told = numbers | {
        "champion_version": "1",
        "champion_rows": "45",
        "champion_left_out": "5",
        "placed_as": "champion",
        "took_over_from": "1",
    }
    assert {name: tags[name] for name in told} == told
    assert tags["run_id"] in runs and tags["placed_at"].endswith("Z")
    assert (old["replaced_by"], old["took_over_from"]) == ("2", "")
    assert [(row["move"], row["version"], row["before"]) for row in rows] == [
        ("champion", "1", ""),
        ("champion", "2", "1"),
    ]
    assert rows[1]["score"] == "0.900000" and rows[1]["difference"] == "0.050000"


@pytest.mark.slow
def test_a_placing_that_died_when_the_alias_should_move_is_made_whole_by_the_next_try(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.register(a_verdict(0.85))
    other = sealed_adapter(made.store, made.base, tmp_path / "other", seed=2)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("tasks.registry.placing.make_champion", _dies)
        made.register(a_verdict(0.9), other, comparison=a_comparison("better"))
    assert made.register(a_verdict(0.9), other, comparison=a_comparison("better")).alias == "champion"
    with open_registry("", made.store, "") as registry:
        tags = registry.client.get_model_version_by_alias(MODEL, "champion").tags
        moves = [
            json.loads(text)["move"]
            for name, text in registry.client.get_registered_model(MODEL).tags.items()
            if name.startswith("audit.")
        ]
    assert (tags["took_over_from"], tags["placed_because"]) == ("1", "tuned is better")
    assert set(moves) == {"champion"} and len(moves) >= 2


def _dies(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.slow
def test_without_a_champion_an_adapter_that_did_not_win_is_only_a_challenger(made: Made) -> None:
    assert made.register(a_verdict(0.85, "none_good_enough")).alias == "challenger"
    assert made.register(a_verdict(0.85)).alias == "champion"
