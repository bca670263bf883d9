"""Simulated benchmarks before and after tuning, given to the project's gate; benchmarks/verdicts.py prints them."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from simulated import CONFIDENCE, LEVEL, Floats, Setting, claimed, draw_arms, in_blocks, repaired, sample_of

from schemas.artifacts import BenchmarkArtifact
from schemas.findings.gate import GateReport
from schemas.findings.loss import BenchmarkTask, LossStanding
from tasks.benchmark.forgetting import HIDING, POOLED, is_settled, standings
from tasks.benchmark.neutral import compare_losses
from tasks.decision.verdict.gate import judge_forgetting
from tasks.statistics.clusters import FEWEST_GROUPS, Clusters, plain_chance
from tasks.statistics.looks import PORTIONS, levels_of

MARGIN = 0.05
NATS = 0.25  # benchmark.neutral_margin
NOISE = 0.03  # of the score that tuning adds in some items and takes in others
APART = 10_000  # names of clusters in one task and in the next


def at_the_margin(setting: Setting, runs: int, seed: int) -> dict[str, float]:
    """Return how often five tasks that each lost exactly the margin shut the gate, and are called kept, at any look."""
    judged = [
        gate for part, chance in in_blocks(setting, runs, seed) for gate in gates([MARGIN] * 5, setting, part, chance)
    ]
    return {
        "refused": share(gate.is_shut for gate in judged),
        "pooled kept": share(gate.pooled.standing == "kept" for gate in judged),
        "champion": share(gate.state == "open" for gate in judged),
    }


def at_the_gate(setting: Setting, runs: int, seed: int) -> dict[str, float]:
    """Return what becomes of adapters that differ by noise, and of those that also lost 10 points on one of five."""
    found: dict[str, float] = {}
    for name, losses in (("noise", [0.0] * 5), ("one task -.10", [2 * MARGIN, 0.0, 0.0, 0.0, 0.0])):
        parts = in_blocks(setting, runs, seed)
        judged = [gate for part, chance in parts for gate in gates(losses, setting, part, chance)]
        for state in ("open", "inconclusive", "shut"):
            found[f"{name} {state}"] = share(gate.state == state for gate in judged)
        found[f"{name} items asked"] = share(gate.looks[-1] / gate.all_items for gate in judged)
    return found


def share(values: Iterable[float]) -> float:
    """Return a mean in per cent."""
    return 100 * float(np.mean(list(values)))


def gates(losses: list[float], setting: Setting, runs: int, chance: np.random.Generator) -> list[GateReport]:
    """Return the gate on tasks that truly lost so much, asked in the product's portions until the answer is clear."""
    tasks = [_changed(loss, setting, runs, chance) for loss in losses]
    looks = [(level, _asked(tasks, part)) for part, level in zip(PORTIONS, levels_of(PORTIONS, LEVEL), strict=True)]
    total, judged = int(looks[-1][1][POOLED].rows), []
    chances = [(_lost(parts, level), _kept(parts, level)) for level, parts in looks]
    hidden = [{name: plain_chance(one, -2 * MARGIN) > HIDING for name, one in parts.items()} for _, parts in looks]
    for run in range(runs):
        asked = []
        for number, (level, parts) in enumerate(looks):
            lost, kept = chances[number]
            stands = standings({n: lost[n][run] for n in parts}, {n: kept[n][run] for n in parts}, level)
            asked.append(int(parts[POOLED].rows))
            if is_settled(stands):
                break
        found = [_task(name, sample, run, stands[name], hidden[number][name][run]) for name, sample in parts.items()]
        facts = {"margin": MARGIN, "level": level, "looks": tuple(asked), "all_items": total}
        artifact = BenchmarkArtifact(digest="simulated", tasks=tuple(found[:-1]), pooled=found[-1], **facts)
        judged.append(judge_forgetting(artifact, "kept"))
    return judged


def _changed(
    loss: float, setting: Setting, runs: int, chance: np.random.Generator
) -> tuple[Floats, np.ndarray[Any, Any]]:
    """Return a task's differences in a random order with their clusters; NOISE of the answers change both ways too."""
    sizes = setting.sizes(chance)
    (before,) = draw_arms(setting, sizes, [0.8], runs, chance)
    after = repaired(setting, sizes, before, NOISE, 0.8, chance)
    after = repaired(setting, sizes, after, -NOISE - loss, 0.8 + NOISE, chance)
    order = chance.permutation(before.shape[1])
    return (after - before)[:, order], np.repeat(np.arange(setting.groups), sizes)[order]


def _asked(tasks: list[tuple[Floats, np.ndarray[Any, Any]]], portion: float) -> dict[str, Clusters]:
    """Return the samples of the tasks and of all their items, as they are after a portion."""
    asked = []
    for place, (differences, clusters) in enumerate(tasks):
        end = math.ceil(portion * len(clusters))
        asked.append((differences[:, :end], clusters[:end] + place * APART))
    parts = {f"task{place}": sample_of(*one, -1.0) for place, one in enumerate(asked)}
    whole = (np.concatenate(side, axis=-1) for side in zip(*asked, strict=True))
    return parts | {POOLED: sample_of(*whole, -1.0)}


def _lost(parts: dict[str, Clusters], level: float) -> dict[str, Floats]:
    return {name: _chances(sample.mirrored, MARGIN, level, len(parts)) for name, sample in parts.items()}


def _kept(parts: dict[str, Clusters], level: float) -> dict[str, Floats]:
    """Return the p-values of "kept"; of single tasks only where the pooled result is kept, as only then they matter."""
    found = {name: np.ones(len(sample.means)) for name, sample in parts.items()}
    found[POOLED] = _chances(parts[POOLED], -MARGIN, level, 1)
    runs = np.flatnonzero(found[POOLED] <= level)
    for name in found.keys() - {POOLED}:
        found[name][runs] = _chances(parts[name].only(runs), -MARGIN, level, 1)
    return found


def _chances(sample: Clusters, bound: float, level: float, family: int) -> Floats:
    return claimed(sample, bound, level, family) if sample.groups >= FEWEST_GROUPS else np.ones(len(sample.means))


def _task(name: str, sample: Clusters, run: int, standing: LossStanding, may_hide: bool) -> BenchmarkTask:
    """Return a task as the gate sees it; the ends of its interval only enter how many items would tell."""
    mean = float(sample.means[run])
    ends = {"difference": mean, "low": mean - 0.1, "high": mean + 0.1}
    facts = {"items": int(sample.rows), "clusters": sample.groups, "base": 0.8, "tuned": 0.8, "standing": standing}
    return BenchmarkTask(task=name, may_hide_twice=bool(may_hide), **facts, **ends)


def on_neutral_text(setting: Setting, runs: int, seed: int) -> dict[str, float]:
    """Return how often a mean loss of exactly the margin, in nats a token, is called lost or kept, and how often the
    interval holds it; `score` says how the texts differ.
    """
    chance = np.random.default_rng([zlib.crc32(f"{setting}{seed}".encode()), 9])
    shape = (runs, setting.groups)
    drawn = {
        "even": lambda: chance.normal(NATS, 0.15, shape),
        "long tails": lambda: NATS + 0.15 * chance.standard_t(3, shape),
        "skewed": lambda: chance.exponential(NATS, shape),
        "one in 20 texts": lambda: np.where(chance.random(shape) < 0.05, 20, 0) * chance.normal(NATS, 0.05, shape),
    }[setting.score]()
    base = np.full(setting.groups, 3.0)
    found = [compare_losses(base, base + one, margin=NATS, confidence=CONFIDENCE) for one in drawn]
    return {
        "lost": share(one.standing == "lost" for one in found),
        "kept": share(one.standing == "kept" for one in found),
        "coverage": share(one.low <= NATS <= one.high for one in found),
    }
