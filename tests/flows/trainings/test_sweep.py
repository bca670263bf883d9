"""A sweep judges settings without the held-out rows, and asks them once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.command_line.sweeping import read_grid, read_space
from flows.inputs.config_file import read_config
from flows.sweep import checked, grid_points, search, sweep
from schemas.errors import ConfigRefused
from tasks.reuse.current_store import current_store
from tests.flows.conftest import tuneworthy

LINES = ["training.rank=2,4", "training.learning_rate=1e-5,2e-2"]


@pytest.mark.slow
def test_half_of_the_trials_is_fitted_to_its_end_and_the_best_is_the_lowest_validation_loss(small: Path) -> None:
    config = read_config(small, ["training.epochs=3"])
    trials = sweep.fn(config, grid_points(config, read_grid(LINES)))
    assert [trial.epochs for trial in trials] == [3, 3, 1, 1]
    assert trials[0].validation_loss < trials[1].validation_loss
    # a rate of 1e-5 learns next to nothing: those trials are the ones that were stopped
    assert {trial.settings["training.learning_rate"] for trial in trials[:2]} == {2e-2}
    labels = [record["label"] for record in current_store().records("score_arm")]
    assert labels == []
    assert sweep.fn(config, grid_points(config, read_grid(LINES))) == trials
    assert len(list(current_store().records("train_adapter"))) == 6


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("registry.model=a,b", "no fit depends on it"),
        ("training.devices=1,2", "no fit depends on it"),
        ("training.rank=8", "at least two values"),
        ("training.rank=0,8", "greater than or equal to 1"),
        ("training.adapter=lora,qera", 'qera" corrects the error of a 4-bit base'),
        ("training.validation=0.1,0.2", "judged by the same share"),
    ],
)
def test_a_grid_that_cannot_be_searched_is_refused_in_words(small: Path, line: str, told: str) -> None:
    with pytest.raises(ConfigRefused, match=told):
        grid_points(read_config(small), read_grid([line]))


def test_a_sweep_of_what_is_not_tuned_is_refused(small: Path) -> None:
    with pytest.raises(ConfigRefused, match=r"arms\.trained: nothing is tuned"):
        grid_points(read_config(small, ["arms.trained=[]"]), read_grid(["training.rank=2,4"]))


@pytest.mark.parametrize("lines", [["training.rank"], ["=1,2"], ["training.rank=1,2", "training.rank=4,8"]])
def test_a_line_that_is_no_grid_is_refused(lines: list[str]) -> None:
    with pytest.raises(ConfigRefused, match=r"as --grid training\.rank=8,16,32"):
        read_grid(lines)


@pytest.mark.slow
def test_only_the_winner_meets_the_held_out_rows_and_the_second_time_all_is_known(small: Path, tmp_path: Path) -> None:
    command = ["sweep", small, "--grid", "training.rank=2,4", "--json"]
    first = tuneworthy(*command, store=tmp_path / "store")
    assert first.returncode in (0, 4), first.stderr
    scored = (tmp_path / "store" / "records" / "score_arm").glob("*.json")
    arms = [json.loads(path.read_text())["label"] for path in scored]
    assert arms.count("score_arm[tuned]") == 1
    assert "best of 2 by validation loss, held-out rows not seen: training.rank=" in first.stderr
    second = tuneworthy(*command, store=tmp_path / "store")
    assert json.loads(second.stdout)["is_all_hits"]


@pytest.mark.slow
def test_a_search_asks_the_same_trials_again_and_answers_them_from_the_store(small: Path) -> None:
    config = read_config(small, ["training.epochs=1"])
    space = checked(config, read_space(["training.learning_rate=1e-5..2e-2", "training.rank=2,4"]))
    trials = search.fn(config, space, 4)
    rates = [trial.settings["training.learning_rate"] for trial in trials]
    assert len(set(rates)) == 4 and all(1e-5 <= rate <= 2e-2 for rate in rates)
    assert {trial.settings["training.rank"] for trial in trials} <= {2, 4}
    assert [trial.validation_loss for trial in trials] == sorted(trial.validation_loss for trial in trials)
    assert search.fn(config, space, 4) == trials
    assert len(list(current_store().records("train_adapter"))) == 4
    assert not list(current_store().records("score_arm"))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("training.learning_rate=1e-3..1e-5", "ends as numbers that rise"),
        ("training.rank=low..8", "ends as numbers that rise"),
        ("training.rank=0..8", "greater than or equal to 1"),
        ("training.rank=8", "at least two values"),
        ("data.held_out=0.1..0.2", "no fit depends on it"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused_in_words(small: Path, line: str, told: str) -> None:
    with pytest.raises(ConfigRefused, match=told):
        checked(read_config(small), read_space([line]))


@pytest.mark.parametrize("more", [[], ["--grid", "training.rank=2,4", "--search", "training.rank=2..4"]])
def test_a_sweep_takes_either_a_grid_or_a_search(small: Path, tmp_path: Path, more: list[str]) -> None:
    refused = tuneworthy("sweep", small, *more, store=tmp_path / "store")
    assert refused.returncode == 2 and "either --grid" in refused.stderr
