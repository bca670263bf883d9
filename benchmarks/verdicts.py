"""How often is a verdict wrong, and how often does it see what is there? ``python benchmarks/verdicts.py [--runs N]
[--groups 8 15 ...] [--processes N] [--seed N]``.

Draws held-out sets on which the truth is known, and gives them to the project's own intervals, arms' reports, verdict
rules and gate. Four tables:

- at the target: three untrained and two tuned arms all have the target as their true mean, so every verdict that
  names an arm is false, and a tuned arm that earned its place is a false champion;
- the gate at the margin: an adapter has lost exactly the margin on each of five tasks, so every refusal is false, and
  so is every "kept"; items are asked in growing portions, and a claim at any look counts;
- the gate: what becomes of adapters that differ from the base by noise, and of those that truly lost 10 points on
  one of five tasks;
- power: a tuned arm gains twice `worth`, on as many groups as the power module recommends from pilots with groups of
  the same kind.

The bars: false rates at most 3.0% (nominal 2.5%) and coverage at least 94%, from 8 groups up; power at least 80%.
With 5,000 runs the standard error of a rate of 2.5% is 0.2%. low and high are the shares of
runs in which an end lies on the wrong side of the truth.
"""

from __future__ import annotations

import argparse
import math
import sys
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from simulated import Floats, Setting, draw_arms, repaired  # noqa: E402 - found on the path above

from schemas.artifacts import ArmArtifact, BenchmarkArtifact  # noqa: E402
from schemas.findings.gate import GateReport  # noqa: E402
from schemas.findings.loss import BenchmarkTask, LossStanding  # noqa: E402
from schemas.sections.decision import DecisionConfig  # noqa: E402
from tasks.benchmark.forgetting import POOLED, is_settled, standings  # noqa: E402
from tasks.decision.verdict.comparison import GAINS, TRAINED, arm_report, claimed_of, standing, targets_met  # noqa: E402
from tasks.decision.verdict.gate import judge_forgetting  # noqa: E402
from tasks.decision.verdict.rules import judge  # noqa: E402
from tasks.intervals import Interval  # noqa: E402
from tasks.statistics.clusters import FEWEST_GROUPS, Clusters, bounds_of, chance_not_above, chance_not_below, gathered  # noqa: E402
from tasks.statistics.looks import PORTIONS, levels_of  # noqa: E402
from tasks.statistics.power import groups_needed, spread_of  # noqa: E402

ARMS = ("prompt", "few_shot", "retrieval", "tuned", "tuned_retrieval")
SCORES = ("0/1", "five fields", "F1-like")
MEANS = (0.5, 0.85, 0.9, 0.95)
TARGET, WORTH, MARGIN, CONFIDENCE = 0.85, 0.05, 0.05, 0.95
NOISE = 0.03  # of the score that tuning adds in some items and takes in others
LEVEL = (1 - CONFIDENCE) / 2
BLOCK = 4_000_000  # scores held at once
SAME_SIZES = 250  # runs that share one draw of the sizes of groups
APART = 10_000  # names of clusters in one task and in the next
PILOT, PILOTS = 1000, 40  # groups that the spread is taken from, and how many such sets


def sample_of(scores: Floats, names: np.ndarray[Any, Any], floor: float = 0.0) -> Clusters:
    """Return scores, or differences of scores, as the product's sample."""
    return gathered(scores, names, floor=floor, ceiling=1.0)


def in_blocks(setting: Setting, runs: int, seed: int) -> list[tuple[int, np.random.Generator]]:
    """Return the runs in parts that fit into memory, each with its own generator."""
    most = min(SAME_SIZES, max(1, BLOCK // (setting.groups * 12 * len(ARMS))))
    parts = [min(most, runs - start) for start in range(0, runs, most)]
    text = f"{setting}{seed}".encode()
    return [(part, np.random.default_rng([zlib.crc32(text), place])) for place, part in enumerate(parts)]


def at_the_target(setting: Setting, runs: int, seed: int) -> dict[str, float]:
    """Return the false verdicts, and on which side intervals miss, in per cent."""
    counts: dict[str, float] = dict.fromkeys(("untrained", "finetune", "champion"), 0.0)
    misses: dict[str, list[Floats]] = {}
    for part, chance in in_blocks(setting, runs, seed):
        sizes = setting.sizes(chance)
        names = np.repeat(np.arange(setting.groups), sizes)
        arms = draw_arms(setting, sizes, [TARGET] * len(ARMS), part, chance)
        for verdict in _verdicts(arms, names, setting.groups):
            counts["untrained"] += verdict.verdict in ("prompt", "few_shot", "retrieval")
            counts["finetune"] += verdict.verdict.startswith("finetune")
            counts["champion"] += verdict.tuned_arm is not None
        difference = sample_of(arms[3] - arms[0], names, -1.0)
        misses.setdefault("gain", []).append(_missed(difference, 0.0))
        for mean in MEANS:
            (scores,) = draw_arms(setting, sizes, [mean], part, chance)
            misses.setdefault(f"{mean}", []).append(_missed(sample_of(scores, names), mean))
    rates = {name: 100 * count / runs for name, count in counts.items()}
    for name, found in misses.items():
        rates[f"{name} low"], rates[f"{name} high"] = 100 * np.concatenate(found, axis=1).mean(axis=1)
    return rates


def _missed(sample: Clusters, truth: float) -> Floats:
    """Return for each run whether the low and the high end lie at or beyond the truth, shape (2, runs)."""
    above, below = chance_not_above(sample, truth), chance_not_below(sample, truth)
    return np.stack((above <= LEVEL, below <= LEVEL)).astype(np.float64)


def _verdicts(arms: list[Floats], names: np.ndarray[Any, Any], groups: int) -> list[Any]:
    decision = DecisionConfig(target=TARGET, worth=WORTH, confidence=CONFIDENCE)
    samples = {name: sample_of(scores, names) for name, scores in zip(ARMS, arms, strict=True)}
    untrained = np.stack([samples[name].means for name in ARMS[:3]])
    best = np.stack(arms[:3])[untrained.argmax(axis=0), np.arange(len(arms[0]))]
    gains = {name: sample_of(arms[ARMS.index(name)] - best, names, -1.0) for name in TRAINED}
    ends = {name: _intervals(sample, groups) for name, sample in samples.items()}
    lifts = {name: _intervals(sample, groups) for name, sample in gains.items()}
    chances = {name: chance_not_above(sample, TARGET) for name, sample in samples.items()}
    worth = {name: chance_not_above(sample, WORTH) for name, sample in gains.items()}
    facts = {name: _artifact(name, arms[0].shape[1]) for name in ARMS}
    verdicts = []
    for run in range(len(arms[0])):
        met = targets_met({name: float(chances[name][run]) for name in ARMS}, decision)
        earned = claimed_of({name: float(worth[name][run]) for name in TRAINED}, CONFIDENCE)
        gained = {name: (lift[run], GAINS[standing(lift[run], WORTH, name in earned)]) for name, lift in lifts.items()}
        reports = [
            arm_report(facts[name], ends[name][run], standing(ends[name][run], TARGET, name in met), gained.get(name))
            for name in ARMS
        ]
        verdicts.append(judge(reports, None, decision, None))
    return verdicts


def _intervals(sample: Clusters, groups: int) -> list[Interval]:
    low, high = bounds_of(sample, CONFIDENCE)
    return [Interval(*ends, groups) for ends in zip(sample.means.tolist(), low.tolist(), high.tolist(), strict=True)]


def _artifact(arm: str, rows: int) -> ArmArtifact:
    rates = dict.fromkeys(("score", "valid_rate", "stopped_rate"), 1.0)
    costs = dict.fromkeys(("prompt_tokens", "output_tokens", "seconds_per_row"), 1.0)
    return ArmArtifact(digest="simulated", arm=arm, rows=rows, **rates, **costs)


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
    chances = [(_claims(parts, chance_not_below), _claims(parts, chance_not_above)) for _, parts in looks]
    for run in range(runs):
        asked = []
        for (level, parts), (lost, kept) in zip(looks, chances, strict=True):
            stands = standings({n: lost[n][run] for n in parts}, {n: kept[n][run] for n in parts}, level)
            asked.append(int(parts[POOLED].rows))
            if is_settled(stands):
                break
        found = [_task(name, sample, run, stands[name]) for name, sample in parts.items()]
        facts = {"margin": MARGIN, "level": level, "looks": tuple(asked), "all_items": total}
        artifact = BenchmarkArtifact(digest="simulated", tasks=tuple(found[:-1]), pooled=found[-1], **facts)
        judged.append(judge_forgetting(artifact, "kept"))
    return judged


def _changed(
    loss: float, setting: Setting, runs: int, chance: np.random.Generator
) -> tuple[Floats, np.ndarray[Any, Any]]:
    """Return a task's differences, its items in a random order, and their clusters; NOISE of the answers change both
    ways beside the loss.
    """
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


def _claims(parts: dict[str, Clusters], claim: Callable[[Clusters, float], Floats]) -> dict[str, list[float]]:
    return {
        name: (claim(sample, -MARGIN) if sample.groups >= FEWEST_GROUPS else np.ones(len(sample.means))).tolist()
        for name, sample in parts.items()
    }


def _task(name: str, sample: Clusters, run: int, standing: LossStanding) -> BenchmarkTask:
    """Return a task as the gate sees it; the ends of its interval only enter how many items would tell."""
    mean = float(sample.means[run])
    ends = {"difference": mean, "low": mean - 0.1, "high": mean + 0.1}
    return BenchmarkTask(
        task=name, items=int(sample.rows), clusters=sample.groups, base=0.8, tuned=0.8, standing=standing, **ends
    )


def at_twice_worth(setting: Setting, runs: int, seed: int) -> dict[str, float]:
    """Return the recommended groups, and how often the gain's low end then reaches `worth`."""
    chance = np.random.default_rng([zlib.crc32(f"{setting}{seed}".encode()), 7])
    spread = spread_of(_gained(Setting(setting.score, PILOT, setting.shape, setting.correlation), PILOTS, chance))
    groups = groups_needed(WORTH, spread, CONFIDENCE) or 0
    wanted = Setting(setting.score, groups, setting.shape, setting.correlation)
    parts = in_blocks(wanted, runs, seed)
    seen = [chance_not_above(_gained(wanted, part, chance), WORTH) <= LEVEL for part, chance in parts]
    return {"groups": groups, "power": 100 * float(np.concatenate(seen).mean())}


def _gained(setting: Setting, runs: int, chance: np.random.Generator) -> Clusters:
    sizes = setting.sizes(None)
    before, other = draw_arms(setting, sizes, [0.7, 0.7], runs, chance)
    after = repaired(setting, sizes, other, 2 * WORTH, 0.7, chance)
    return sample_of(after - before, np.repeat(np.arange(setting.groups), sizes), -1.0)


def print_table(title: str, rows: dict[Setting, dict[str, float]]) -> None:
    """Print one table in Markdown, and the largest value of every column."""
    columns = list(next(iter(rows.values())))
    print(f"\n### {title}\n\n| score | sizes | correlation | of groups | " + " | ".join(columns) + " |")
    print("|---" * 4 + "|---:" * len(columns) + "|")
    for setting, values in rows.items():
        cells = " | ".join(f"{values[column]:.1f}" for column in columns)
        print(f"| {setting.score} | {setting.shape} | {setting.correlation:g} | {setting.groups} | {cells} |")
    worst = " | ".join(f"{max(values[column] for values in rows.values()):.1f}" for column in columns)
    print(f"| largest | | | | {worst} |", flush=True)


def main() -> None:
    """Draw, judge and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5000)
    parser.add_argument("--groups", type=int, nargs="+", default=[8, 15, 30, 60, 200])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    grid = [Setting(*cell) for cell in product(SCORES, options.groups, ("equal", "unequal"), (0.05, 0.3, 0.9))]
    right_or_wrong = [setting for setting in grid if setting.score == "0/1"]
    kinds = [setting for setting in grid if setting.groups == options.groups[0]]
    with ProcessPoolExecutor(options.processes) as pool:
        for title, judged, settings, runs in (
            ("At the target: false verdicts and ends on the wrong side, %", at_the_target, grid, options.runs),
            ("The gate at the margin: false claims at any look, %", at_the_margin, right_or_wrong, options.runs),
            ("The gate: noise, and 10 points lost on one of five tasks, %", at_the_gate, right_or_wrong, options.runs),
            ("A gain of twice worth on the recommended groups", at_twice_worth, kinds, max(400, options.runs // 10)),
        ):
            amounts = [runs] * len(settings), [options.seed] * len(settings)
            print_table(title, dict(zip(settings, pool.map(judged, settings, *amounts), strict=True)))


if __name__ == "__main__":
    main()
