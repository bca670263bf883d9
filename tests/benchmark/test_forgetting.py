from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from schemas.artifacts import BenchmarkArtifact
from schemas.gate import GateTask
from tasks.benchmark.forgetting import Items, compare_tasks, write_items
from tasks.decision.verdict.gate import judge_forgetting


def before_the_gate(
    base: Items, tuned: Items, groups: Mapping[str, Sequence[str]], margin: float
) -> tuple[GateTask, ...]:
    tasks = compare_tasks(base, tuned, groups, confidence=0.95)
    return judge_forgetting(BenchmarkArtifact(tasks=tasks), margin).tasks


def items(right: int, wrong: int) -> list[float]:
    return [1.0] * right + [0.0] * wrong


def test_only_a_task_that_lost_more_than_the_margin_at_the_asked_confidence_is_refused() -> None:
    base = {"kept": items(80, 20), "lost": items(80, 20), "slightly": items(80, 20)}
    tuned = {"kept": items(80, 20), "lost": items(40, 60), "slightly": items(74, 26)}
    found = {task.task: task for task in before_the_gate(base, tuned, {}, margin=0.05)}
    assert {name: task.is_passed for name, task in found.items()} == {"kept": True, "lost": False, "slightly": True}
    assert found["lost"].difference == pytest.approx(-0.4)
    assert found["lost"].high < -0.05
    assert found["slightly"].low < -0.05 < found["slightly"].high


def test_a_wider_margin_lets_the_same_loss_pass() -> None:
    base, tuned = {"task": items(80, 20)}, {"task": items(40, 60)}
    assert before_the_gate(base, tuned, {}, margin=0.6)[0].is_passed


def test_a_loss_is_seen_item_by_item_where_the_means_alone_would_leave_it_in_doubt() -> None:
    """Ten items lost and none won is a significant loss, though two groups of 100 with 50 and 40 right would
    overlap widely.
    """
    base, tuned = {"task": items(50, 50)}, {"task": items(40, 60)}
    assert before_the_gate(base, tuned, {}, margin=0.02)[0].is_passed is False


def test_a_group_pools_its_items_so_that_losses_too_small_for_each_part_are_found() -> None:
    random = np.random.default_rng(3)
    names = [f"part{number}" for number in range(6)]
    base = {name: items(30, 10) for name in names}
    tuned = {name: [value * float(random.random() > 0.16) for value in base[name]] for name in names}
    *parts, whole = before_the_gate(base, tuned, {"whole": names}, margin=0.05)
    assert whole.task == "whole"
    assert whole.items == 240
    assert not whole.is_passed
    assert sum(part.is_passed for part in parts) >= 4


def test_a_group_of_one_task_is_not_reported_twice() -> None:
    assert len(before_the_gate({"a": items(1, 1)}, {"a": items(1, 1)}, {"group": ["a"]}, margin=0.05)) == 1


def test_the_gate_refuses_a_harmless_adapter_in_at_most_the_share_of_runs_that_its_confidence_says() -> None:
    """A null retrain answers at random where the base does: with margin 0 and 95% confidence, at most some 2.5% may be
    refused.
    """
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(80):
        base, tuned = (random.integers(0, 2, 60).astype(float).tolist() for _ in range(2))
        refused += not before_the_gate({"task": base}, {"task": tuned}, {}, margin=0.0)[0].is_passed
    assert refused <= 6


def test_the_items_file_holds_both_sides_of_every_item(tmp_path: Path) -> None:
    path = tmp_path / "items.parquet"
    write_items({"a": [1.0, 0.0], "b": [1.0]}, {"a": [0.0, 0.0], "b": [1.0]}, path)
    assert pl.read_parquet(path).rows() == [("a", 0, 1.0, 0.0), ("a", 1, 0.0, 0.0), ("b", 0, 1.0, 1.0)]
