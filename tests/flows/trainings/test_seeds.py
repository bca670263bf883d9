"""A run with several seeds: siblings are fitted, one is judged, all are told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.flows.conftest import tuneworthy


@pytest.mark.slow
def test_the_median_of_three_trainings_is_judged_and_the_others_are_told(small: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    command = ["run", small, "--set", "training.seeds=3", "--json"]
    first = tuneworthy(*command, store=store)
    assert first.returncode in (0, 4), first.stderr
    seeds = json.loads(first.stdout)["verdict"]["seeds"]
    assert len(seeds["scores"]) == 3
    assert seeds["in_words"] in json.loads(first.stdout)["verdict"]["reasons"]
    records = [json.loads(path.read_text()) for path in (store / "records" / "train_adapter").iterdir()]
    by_loss = sorted(records, key=lambda record: record["artifact"]["validation_loss"])
    (judged,) = [json.loads(path.read_text()) for path in (store / "records" / "benchmark_adapter").iterdir()]
    assert judged["ingredients"]["adapter"] == by_loss[1]["artifact"]["digest"]
    assert json.loads(tuneworthy(*command, store=store).stdout)["is_all_hits"]
