"""What an adapter forgot: base and tuned on the same benchmark items, task by task and pooled, by the interval of the
paired difference.

All claims of a loss are one family (Holm); claims of having kept enough stand alone, as the gate needs only the pooled
one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from schemas.findings.loss import BenchmarkTask, LossStanding
from tasks.intervals import differences_of, interval_of, p_above, p_below
from tasks.statistics.clusters import FEWEST_GROUPS, plain_chance
from tasks.statistics.families import holm

POOLED = "pooled"
HIDING = 0.05  # of the cases in which twice the margin is lost may look like a task that is let pass
Compared = tuple[tuple[BenchmarkTask, ...], BenchmarkTask]  # the tasks, and all of their items pooled


@dataclass(frozen=True)
class Answered:
    """Items that both models answered, in one order: accuracies (0..1), and the cluster of each item."""

    base: tuple[float, ...] = ()
    tuned: tuple[float, ...] = ()
    clusters: tuple[str, ...] = ()

    def __add__(self, more: Answered) -> Answered:
        """Return these items and then the others."""
        return Answered(self.base + more.base, self.tuned + more.tuned, self.clusters + more.clusters)


def compare_tasks(
    tasks: Mapping[str, Answered], groups: Mapping[str, Sequence[str]], *, margin: float, level: float
) -> Compared:
    """Return one comparison a task and a group of tasks, and one over all items, each item weighing the same.

    Args:
        tasks: answered items by task.
        groups: tasks by group; one that holds a single task or all of them says nothing of its own.
        margin: accuracy that may be lost.
        level: one-sided error of every claim; the intervals leave out twice as much.
    """
    parts = dict(tasks)
    for group, members in groups.items():
        if 1 < len(members) < len(tasks):
            parts[group] = pooled_of({name: tasks[name] for name in members})
    if len(tasks) > 1:
        parts[POOLED] = pooled_of(tasks)
    samples = {name: differences_of(one.base, one.tuned, one.clusters) for name, one in parts.items()}
    lost = {name: p_below(sample, -margin) for name, sample in samples.items()}
    kept = {name: p_above(sample, -margin) for name, sample in samples.items()}
    stands = standings(lost, kept, level)
    found = []
    for name, one in parts.items():
        interval = interval_of(samples[name], 1.0 - 2.0 * level)
        found.append(
            BenchmarkTask(
                task=name,
                items=len(one.base),
                clusters=interval.groups,
                base=sum(one.base) / len(one.base),
                tuned=sum(one.tuned) / len(one.tuned),
                difference=interval.mean,
                low=interval.low,
                high=interval.high,
                may_hide_twice=bool(plain_chance(samples[name], -2 * margin)[0] > HIDING),
                standing=stands[name],
            )
        )
    return tuple(found[:-1] if len(tasks) > 1 else found), found[-1]


def standings(lost: Mapping[str, float], kept: Mapping[str, float], level: float) -> dict[str, LossStanding]:
    """Return how every task stands, from the p-values of "it lost more than the margin" and "it lost no more"."""
    corrected = dict(zip(lost, holm(list(lost.values())), strict=True))
    return {
        name: "lost" if corrected[name] <= level else "kept" if kept[name] <= level else "inconclusive" for name in lost
    }


def is_settled(stands: Mapping[str, LossStanding]) -> bool:
    """Tell whether more items cannot change what the gate says: something is lost, or everything is kept."""
    return "lost" in stands.values() or set(stands.values()) == {"kept"}


def pooled_of(tasks: Mapping[str, Answered]) -> Answered:
    """Return the items of several tasks as one; clusters of different tasks stay apart."""
    whole = Answered()
    for name, one in tasks.items():
        whole += replace(one, clusters=tuple(f"{name}: {cluster}" for cluster in one.clusters))
    return whole


def clusters_of(topics: Sequence[str | None]) -> list[str]:
    """Return every item's cluster: its topic where each has one and there are enough to claim by, else itself."""
    known = {topic for topic in topics if topic is not None}
    if None in topics or len(known) < FEWEST_GROUPS:
        return [str(place) for place in range(len(topics))]
    return [str(topic) for topic in topics]


def items_table(tasks: Mapping[str, Answered], places: Mapping[str, Sequence[int]]) -> pl.DataFrame:
    """Return one row an item: task, item (its place in the task, from 0), cluster, base, tuned (accuracy, 0..1)."""
    types = {"task": pl.String, "item": pl.Int64, "cluster": pl.String, "base": pl.Float64, "tuned": pl.Float64}
    frames = [
        pl.DataFrame(([name] * len(one.base), places[name], one.clusters, one.base, one.tuned), schema=types)
        for name, one in tasks.items()
    ]
    return pl.concat(frames).sort("task", "item")
