"""The general benchmark: its items are unique, balanced and give nothing away by their form."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.sections.benchmark import BenchmarkConfig
from tasks.benchmark.forgetting import Answered, clusters_of, compare_tasks
from tasks.statistics.looks import PORTIONS, levels_of

FOLDER = Path(__file__).parents[2] / "configs" / "benchmarks" / "general_mini"
CHOICES = {"grammar": 2, "knowledge": 4, "arithmetic": 4, "choices": 2, "words": 4}

parts = pytest.mark.parametrize("part", CHOICES)


def items(part: str) -> list[dict[str, Any]]:
    """Read the items of one part."""
    return [json.loads(line) for line in (FOLDER / f"{part}.jsonl").read_text(encoding="utf-8").splitlines()]


def mean(lengths: list[int]) -> float:
    """Average some lengths."""
    return sum(lengths) / len(lengths)


@parts
def test_the_parts_are_of_similar_size(part: str) -> None:
    """A part with fewer items would not show a loss of a few points; one with more would drown the others."""
    assert 200 <= len(items(part)) <= 300


def test_there_are_a_thousand_items_on_many_topics() -> None:
    """A topic is a cluster in an interval: there are at least 40, and none holds more than 8% of the items."""
    topics = Counter(f"{part}/{item['topic']}" for part in CHOICES for item in items(part))
    assert topics.total() >= 1000
    assert len(topics) >= 40
    assert max(topics.values()) <= 0.08 * topics.total()


def test_an_adapter_that_changes_no_answer_is_kept_within_the_default_margin() -> None:
    tasks = {}
    for part in CHOICES:
        same = tuple(float(item["gold"] == 0) for item in items(part))
        tasks[part] = Answered(same, same, tuple(clusters_of([item["topic"] for item in items(part)])))
    margin, level = BenchmarkConfig().margin, levels_of(PORTIONS, 0.025)[-1]
    _, pooled = compare_tasks(tasks, {}, margin=margin, level=level)
    assert pooled.standing == "kept" and pooled.low > 0.003 - margin


@parts
def test_every_item_has_its_choices_and_a_right_one_among_them(part: str) -> None:
    """The right answer's place is inside the list."""
    for item in items(part):
        assert len(item["choices"]) == CHOICES[part], item
        assert item["gold"] in range(CHOICES[part]), item


@parts
def test_every_item_is_asked_once(part: str) -> None:
    """Ids, questions with their choices, and the choices of one item are all distinct."""
    rows = items(part)
    asked = [(item.get("question", ""), *sorted(item["choices"])) for item in rows]
    assert len({item["id"] for item in rows}) == len(set(asked)) == len(rows)
    assert all(len(set(item["choices"])) == len(item["choices"]) for item in rows)


@parts
def test_the_right_answer_stands_equally_often_at_each_place(part: str) -> None:
    """Always choosing one place gains nothing."""
    places = Counter(item["gold"] for item in items(part))
    assert max(places.values()) - min(places.values()) <= 1
    assert len(places) == CHOICES[part]


@parts
def test_length_does_not_give_the_answer_away(part: str) -> None:
    """Right and wrong answers are equally long on average, within a tenth."""
    rows = items(part)
    right = [len(item["choices"][item["gold"]]) for item in rows]
    wrong = [len(choice) for item in rows for at, choice in enumerate(item["choices"]) if at != item["gold"]]
    assert mean(right) == pytest.approx(mean(wrong), rel=0.1)


@parts
def test_choosing_the_longest_or_the_shortest_answer_gains_little(part: str) -> None:
    """Such a guess stays within 15 points of chance."""
    rows = items(part)
    for choose in (max, min):
        picked = [item["choices"].index(choose(item["choices"], key=len)) for item in rows]
        hits = mean([int(at == item["gold"]) for at, item in zip(picked, rows, strict=True)])
        assert abs(hits - 1 / CHOICES[part]) < 0.15, (choose, hits)


@parts
def test_a_task_file_reads_its_own_items(part: str) -> None:
    """Relative data file, test split, multiple choice by log-likelihood, versioned."""
    task = yaml.safe_load((FOLDER / f"general_mini_{part}.yaml").read_text(encoding="utf-8"))
    assert task["task"] == f"general_mini_{part}"
    assert task["dataset_kwargs"] == {"data_files": {"test": f"{part}.jsonl"}}
    assert (task["test_split"], task["output_type"]) == ("test", "multiple_choice")
    assert task["metric_list"][0] == {"metric": "acc", "aggregation": "mean", "higher_is_better": True}
    assert task["metadata"] == {"version": 2.0}


def test_the_group_holds_every_part_weighted_by_size() -> None:
    """A part that is written but not listed would never be measured."""
    group = yaml.safe_load((FOLDER / "general_mini.yaml").read_text(encoding="utf-8"))
    assert group["group"] == "general_mini"
    assert sorted(group["task"]) == sorted(path.stem for path in FOLDER.glob("general_mini_*.yaml"))
    assert group["aggregate_metric_list"] == [{"metric": "acc", "aggregation": "mean", "weight_by_size": True}]


def test_the_arithmetic_script_writes_the_shipped_file_byte_for_byte() -> None:
    """The sums in the repo are the script's own."""
    script = FOLDER / "make_arithmetic.py"
    assert subprocess.run([sys.executable, str(script), "--check"], check=False).returncode == 0


def test_every_sum_is_right() -> None:
    """Worked out anew from the text of the plain sums."""
    signs = {"+": int.__add__, "-": int.__sub__, "times": int.__mul__}
    sums = [item for item in items("arithmetic") if item["topic"].endswith("_digits")]
    for item in sums:
        left, sign, right, _ = item["question"].split()
        assert int(item["choices"][item["gold"]]) == signs[sign](int(left), int(right)), item
    assert len(sums) == 36
