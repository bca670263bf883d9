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


@pytest.mark.slow
def test_prices_give_every_arm_a_cost_and_the_page_a_chart(small: Path, tmp_path: Path) -> None:
    prices = ["--set", "costs={currency: EUR, machine_hour: 2, requests_per_month: 1000}"]
    found = tuneworthy("run", small, *prices, "--json", store=tmp_path / "store")
    assert found.returncode in (0, 4), found.stderr
    answer = json.loads(found.stdout)
    costs = answer["verdict"]["costs"]
    assert {cost["arm"] for cost in costs["arms"]} == {arm["arm"] for arm in answer["verdict"]["arms"]}
    assert all(0 < cost["p50_seconds"] <= cost["p95_seconds"] and cost["per_thousand"] > 0 for cost in costs["arms"])
    assert "EUR for 1,000 answers" in Path(answer["report"]).read_text(encoding="utf-8")
    refused = tuneworthy("plan", small, "--set", "decision.max_cost=1", store=tmp_path / "store")
    assert refused.returncode == 2 and "nothing has a price" in refused.stderr
