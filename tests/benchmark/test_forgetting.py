"""What a benchmark tells of an adapter: kept, lost or inconclusive, at the first look at which everything is clear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from schemas.artifacts import BenchmarkArtifact
from schemas.findings.loss import BenchmarkTask
from schemas.sections.benchmark import BenchmarkConfig
from tasks.benchmark.forgetting import Answered, clusters_of, compare_tasks, is_settled, items_table
from tasks.benchmark.harness import load_harness
from tasks.benchmark.locating import locate_benchmarks
from tasks.benchmark.measuring import portions_of
from tasks.benchmark.sight import items_to_keep, local_clusters, noticed, sight_line
from tasks.decision.verdict.gate import judge_forgetting
from tasks.reuse.store import ArtifactStore
from tasks.statistics.looks import PORTIONS, levels_of

LEVEL = 0.025


def items(right: int, wrong: int) -> list[float]:
    return [1.0] * right + [0.0] * wrong


def answered(base: Sequence[float], tuned: Sequence[float], clusters: Sequence[str] | None = None) -> Answered:
    return Answered(tuple(base), tuple(tuned), tuple(clusters or map(str, range(len(base)))))


def compared(
    base: Mapping[str, Sequence[float]],
    tuned: Mapping[str, Sequence[float]],
    groups: Mapping[str, Sequence[str]] | None = None,
    margin: float = 0.05,
) -> tuple[tuple[BenchmarkTask, ...], BenchmarkTask]:
    tasks = {name: answered(base[name], tuned[name]) for name in base}
    return compare_tasks(tasks, groups or {}, margin=margin, level=LEVEL)


def test_a_task_is_lost_where_more_than_the_margin_is_gone_at_confidence_and_kept_where_no_more_is() -> None:
    base = {"kept": items(400, 100), "lost": items(80, 20), "slightly": items(80, 20)}
    tuned = {"kept": items(398, 102), "lost": items(40, 60), "slightly": items(74, 26)}
    tasks, pooled = compared(base, tuned)
    assert {task.task: task.standing for task in tasks} == {"kept": "kept", "lost": "lost", "slightly": "inconclusive"}
    assert tasks[1].difference == pytest.approx(-0.4)
    assert tasks[2].low < -0.05 < tasks[2].high
    assert (pooled.task, pooled.items) == ("pooled", 700)


def test_one_task_is_its_own_pooled_result_and_a_group_of_all_tasks_is_not_told_twice() -> None:
    tasks, pooled = compared({"a": items(1, 1)}, {"a": items(1, 1)}, {"group": ["a"]})
    assert tasks == (pooled,)
    both = {"a": items(9, 9), "b": items(9, 9)}
    tasks, pooled = compared(both, both, {"group": ["a", "b"]})
    assert ([task.task for task in tasks], pooled.task) == (["a", "b"], "pooled")
    three = both | {"c": items(3, 3)}
    assert [task.task for task in compared(three, three, {"group": ["a", "b"]})[0]] == ["a", "b", "c", "group"]


def test_a_loss_is_seen_item_by_item_where_the_means_alone_would_leave_it_in_doubt() -> None:
    """Ten items lost and none won is a significant loss, though two groups of 100 with 50 and 40 right would
    overlap widely.
    """
    ((task,), _) = compared({"task": items(50, 50)}, {"task": items(40, 60)}, margin=0.02)
    assert task.standing == "lost"


def test_losses_too_small_for_each_part_are_found_in_all_items_pooled() -> None:
    random = np.random.default_rng(3)
    base = {f"part{number}": items(30, 10) for number in range(6)}
    tuned = {name: [value * float(random.random() > 0.16) for value in base[name]] for name in base}
    parts, whole = compared(base, tuned)
    assert (whole.standing, whole.items) == ("lost", 240)
    assert sum(part.standing == "lost" for part in parts) <= 2


def test_a_loss_on_one_of_many_tasks_has_to_be_clearer_than_a_loss_on_the_only_one() -> None:
    base, tuned = items(80, 20), items(65, 35)
    ((alone,), _) = compared({"task": base}, {"task": tuned})
    assert alone.standing == "lost"
    others = {f"other{number}": items(80, 20) for number in range(12)}
    tasks, _ = compared(others | {"task": base}, others | {"task": tuned})
    assert tasks[-1].standing == "inconclusive"


def test_few_clusters_may_hide_a_loss_of_twice_the_margin_and_no_change_at_all_hides_nothing() -> None:
    topics = [f"topic{place % 8}" for place in range(80)]
    mixed = [float(place not in (0, 8, 16)) for place in range(80)]  # three items of one topic are lost
    hides = {
        name: compare_tasks({"t": answered([1.0] * 80, after, own)}, {}, margin=0.05, level=LEVEL)[1].may_hide_twice
        for name, after, own in (("same", [1.0] * 80, topics), ("topics", mixed, topics), ("items", mixed, None))
    }
    assert hides == {"same": False, "topics": True, "items": False}


def test_rows_of_one_topic_are_one_cluster_from_eight_topics_on() -> None:
    topics = [f"topic{place % 8}" for place in range(80)]
    assert clusters_of(topics) == topics
    assert clusters_of([f"topic{place % 7}" for place in range(3)]) == ["0", "1", "2"]
    assert clusters_of([*topics, None])[:3] == ["0", "1", "2"]
    lost_topic = [0.0 if topic == "topic3" else 1.0 for topic in topics]
    by_topic = compare_tasks({"t": answered([1.0] * 80, lost_topic, topics)}, {}, margin=0.05, level=LEVEL)[1]
    by_item = compare_tasks({"t": answered([1.0] * 80, lost_topic)}, {}, margin=0.05, level=LEVEL)[1]
    assert (by_topic.clusters, by_item.clusters) == (8, 80)
    assert by_topic.high - by_topic.low > 2 * (by_item.high - by_item.low)


def test_portions_hold_every_item_once_grow_every_task_alike_and_depend_on_the_seed_alone() -> None:
    counts = {"a": 40, "b": 7, "c": 1}
    portions = portions_of(counts, PORTIONS, seed=3)
    for name, count in counts.items():
        assert sorted(place for portion in portions for place in portion.get(name, [])) == list(range(count))
    assert [len(portion["a"]) for portion in portions] == [10, 10, 20]
    assert "c" not in portions[1], "a portion without items of a task does not name it"
    assert portions == portions_of(counts, PORTIONS, seed=3) != portions_of(counts, PORTIONS, seed=4)


def test_the_levels_of_all_looks_sum_to_the_error_that_may_be_made_and_the_last_keeps_most_of_it() -> None:
    levels = levels_of(PORTIONS, LEVEL)
    assert sum(levels) == pytest.approx(LEVEL)
    assert levels[-1] > 0.85 * LEVEL
    assert levels_of((1.0,), LEVEL) == (LEVEL,)


def test_asking_ends_where_something_is_lost_or_everything_is_kept() -> None:
    assert is_settled({"a": "lost", "b": "inconclusive"})
    assert is_settled({"a": "kept", "b": "kept"})
    assert not is_settled({"a": "kept", "b": "inconclusive"})


@pytest.mark.slow
def test_a_loss_of_the_size_that_is_said_to_be_noticed_is_lost_in_about_eight_of_ten_cases() -> None:
    random = np.random.default_rng(5)
    size = noticed([str(place) for place in range(200)], 0.05, 0.95, claims=1)
    down, up = (0.25 + size) / 2, (0.25 - size) / 2
    seen = 0
    for _ in range(200):
        chance = random.random(200)
        base, tuned = np.where(chance < down, 1.0, 0.0), np.where(chance > 1 - up, 1.0, 0.0)
        seen += compared({"task": base.tolist()}, {"task": tuned.tolist()})[1].standing == "lost"
    assert 150 <= seen <= 190
    own = [str(place) for place in range(200)]
    line = sight_line({"task": own}, 0.05, 0.95)
    assert f"it notices a loss of {100 * size:.2g} points on all 200 items; an adapter that loses nothing" in line
    enough = items_to_keep(own, 0.05, 0.95)
    assert enough is not None and f"would need about {enough:,} items" in line
    both = {"a": [str(place) for place in range(enough)], "b": own}
    assert "on one of 2 tasks" in sight_line(both, 0.05, 0.95)
    assert "loses nothing" not in sight_line(both, 0.05, 0.95), "there are enough items"


def test_plan_reads_the_items_of_local_tasks_without_lm_eval_and_knows_none_of_the_library(
    store: ArtifactStore, tmp_path: Path
) -> None:
    sources = locate_benchmarks(BenchmarkConfig(), tmp_path, store)
    found = local_clusters(sources, None)
    assert found is not None
    harness = load_harness(sources, tmp_path / "data", limit=None, seed=7)
    assert found == {name: clusters_of(topics) for name, topics in harness.topics().items()}
    assert {len(own) for own in (local_clusters(sources, 6) or {}).values()} == {6}
    assert local_clusters(sources.model_copy(update={"packaged": ("arc_easy",)}), None) is None


def looks(rng: np.random.Generator, losses: Sequence[float], count: int = 200, changed: float = 0.12) -> str:
    """Return the gate's state on simulated tasks that lost so much, with the product's portions and levels."""
    tasks = {}
    for number, loss in enumerate(losses):
        chance = rng.random(count)
        down, up = (max(changed, loss) + loss) / 2, (max(changed, loss) - loss) / 2
        tasks[f"t{number}"] = np.where(chance < down, 1.0, 0.0), np.where(chance > 1 - up, 1.0, 0.0)
    for share, level in zip(PORTIONS, levels_of(PORTIONS, LEVEL), strict=True):
        until = int(count * share)
        so_far = {name: answered(one[:until].tolist(), two[:until].tolist()) for name, (one, two) in tasks.items()}
        found, pooled = compare_tasks(so_far, {}, margin=0.05, level=level)
        if is_settled({one.task: one.standing for one in (*found, pooled)}):
            break
    facts = {"margin": 0.05, "level": level, "looks": (until,), "all_items": count}
    return judge_forgetting(BenchmarkArtifact(digest="s", tasks=found, pooled=pooled, **facts), "kept").state


@pytest.mark.slow
def test_of_100_adapters_that_differ_from_the_base_by_noise_at_most_5_are_refused() -> None:
    rng = np.random.default_rng(1)
    states = [looks(rng, [0.0] * 5) for _ in range(100)]
    assert states.count("shut") <= 5
    assert states.count("open") >= 75


@pytest.mark.slow
@pytest.mark.parametrize("changed", [0.1, 0.25])
@pytest.mark.parametrize("count", [84, 200])
def test_a_true_loss_of_10_points_on_one_of_five_tasks_is_refused_or_held_in_90_of_100_cases(
    count: int, changed: float
) -> None:
    rng = np.random.default_rng(1)
    states = [looks(rng, [0.1, 0, 0, 0, 0], count, changed) for _ in range(100)]
    assert states.count("open") <= 10


def test_the_items_file_holds_both_sides_of_every_item() -> None:
    tasks = {"b": answered([1.0], [1.0], ["x"]), "a": answered([1.0, 0.0], [0.0, 0.0], ["y", "z"])}
    table = items_table(tasks, {"b": [0], "a": [4, 2]})
    assert table.columns == ["task", "item", "cluster", "base", "tuned"]
    assert table.rows() == [("a", 2, "z", 0.0, 0.0), ("a", 4, "y", 1.0, 0.0), ("b", 0, "x", 1.0, 1.0)]
