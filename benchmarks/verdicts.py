"""How often is a verdict wrong, and how often does it see what is there? ``python benchmarks/verdicts.py [--runs N]
[--groups 8 15 ...] [--processes N] [--seed N]``.

Draws held-out sets on which the truth is known, and gives them to the project's own intervals, arms' reports, verdict
rules and gate. Three tables:

- at the target: three untrained and two tuned arms all have the target as their true mean, so every verdict that
  names an arm is false, and a tuned arm that earned its place is a false champion;
- the gate: an adapter has lost exactly the margin on each of five tasks, so every refusal is false;
- power: a tuned arm gains twice `worth`, on as many groups as the power module recommends from pilots with groups of
  the same kind.

The bars: false rates at most 3.0% (nominal 2.5%) and coverage at least 94%, from 8 groups up; power at least 80%.
With 5,000 runs the standard error of a rate of 2.5% is 0.2%. low and high are the shares of
runs in which an end lies on the wrong side of the truth.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from simulated import Floats, Setting, draw_arms, repaired  # noqa: E402 - found on the path above

from schemas.artifacts import ArmArtifact, BenchmarkArtifact, BenchmarkTask  # noqa: E402
from schemas.sections.decision import DecisionConfig  # noqa: E402
from tasks.decision.verdict.comparison import GAINS, TRAINED, arm_report, claimed_of, standing, targets_met  # noqa: E402
from tasks.decision.verdict.gate import judge_forgetting  # noqa: E402
from tasks.decision.verdict.rules import judge  # noqa: E402
from tasks.intervals import Interval  # noqa: E402
from tasks.statistics.clusters import Clusters, bounds_of, chance_not_above, chance_not_below, gathered  # noqa: E402
from tasks.statistics.families import holm  # noqa: E402
from tasks.statistics.power import groups_needed, spread_of  # noqa: E402

ARMS = ("prompt", "few_shot", "retrieval", "tuned", "tuned_retrieval")
SCORES = ("0/1", "five fields", "F1-like")
MEANS = (0.5, 0.85, 0.9, 0.95)
TARGET, WORTH, MARGIN, CONFIDENCE = 0.85, 0.05, 0.05, 0.95
LEVEL = (1 - CONFIDENCE) / 2
BLOCK = 4_000_000  # scores held at once
SAME_SIZES = 250  # runs that share one draw of the sizes of groups
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
    """Return how often five tasks that each lost exactly the margin shut the gate: one by one, and with Holm."""
    shut = corrected = 0
    for part, chance in in_blocks(setting, runs, seed):
        samples = [_lost(setting, part, chance) for _ in range(5)]
        ends = [bounds_of(sample, CONFIDENCE) for sample in samples]
        chances = np.stack([chance_not_below(sample, -MARGIN) for sample in samples], axis=1)
        for run in range(part):
            tasks = tuple(
                BenchmarkTask(task=f"{place}", items=setting.groups, base=0.8, tuned=0.75, difference=-MARGIN,
                              low=float(low[run]), high=float(high[run]))
                for place, (low, high) in enumerate(ends)
            )  # fmt: skip
            shut += not judge_forgetting(BenchmarkArtifact(digest="simulated", tasks=tasks), MARGIN).is_passed
            corrected += min(holm(chances[run].tolist())) <= LEVEL
    return {"gate": 100 * shut / runs, "gate with Holm": 100 * corrected / runs}


def _lost(setting: Setting, runs: int, chance: np.random.Generator) -> Clusters:
    sizes = setting.sizes(chance)
    (before,) = draw_arms(setting, sizes, [0.8], runs, chance)
    after = repaired(setting, sizes, before, -MARGIN, 0.8, chance)
    return sample_of(after - before, np.repeat(np.arange(setting.groups), sizes), -1.0)


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
            ("The gate at the margin: false refusals, %", at_the_margin, right_or_wrong, options.runs),
            ("A gain of twice worth on the recommended groups", at_twice_worth, kinds, max(400, options.runs // 10)),
        ):
            amounts = [runs] * len(settings), [options.seed] * len(settings)
            print_table(title, dict(zip(settings, pool.map(judged, settings, *amounts), strict=True)))


if __name__ == "__main__":
    main()
