"""How often is a verdict wrong, and how often does it see what is there? ``python benchmarks/verdicts.py [--runs N]
[--groups 8 15 ...] [--processes N] [--seed N]``.

Draws held-out sets on which the truth is known, and gives them to the project's own intervals, arms' reports, verdict
rules and gate. The tables:

- at the target: four untrained and two tuned arms all have the target as their true mean, so every verdict that
  names an arm is false, and a tuned arm that earned its place is a false champion;
- the gate at the margin: an adapter has lost exactly the margin on each of five tasks, so every refusal is false, and
  so is every "kept"; items are asked in growing portions, and a claim at any look counts;
- the gate: what becomes of adapters that differ from the base by noise, and of those that truly lost 10 points on
  one of five tasks;
- power: a tuned arm gains twice `worth`, on as many groups as `plan` recommends after a run on groups of the same kind;
- neutral text: texts whose loss grew by the margin on average, evenly, skewed, or far more in a few of them.

The bars: false rates at most 3.0% (nominal 2.5%) and coverage at least 94%, from 8 groups up; power at least 80%.
With 5,000 runs the standard error of a rate of 2.5% is 0.2%. low and high are the shares of
runs in which an end lies on the wrong side of the truth.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from forgetting import at_the_gate, at_the_margin, on_neutral_text  # noqa: E402 - found on the path above
from simulated import CONFIDENCE, LEVEL, Floats, Setting, claimed, draw_arms, in_blocks, repaired, sample_of  # noqa: E402

from schemas.artifacts import ArmArtifact  # noqa: E402
from schemas.sections.decision import DecisionConfig  # noqa: E402
from tasks.decision.verdict.comparison import GAINS, TRAINED, arm_report, claimed_of, standing, targets_met  # noqa: E402
from tasks.decision.verdict.rules import Found, asked, find  # noqa: E402
from tasks.intervals import Interval  # noqa: E402
from tasks.statistics.clusters import Clusters, bounds_of  # noqa: E402
from tasks.statistics.power import groups_needed, spread_of_interval  # noqa: E402

ARMS = ("classifier", "prompt", "few_shot", "retrieval", "tuned", "tuned_retrieval")
UNTRAINED = [name for name in ARMS if name not in TRAINED]
SCORES = ("0/1", "five fields", "F1-like")
MEANS = (0.5, 0.85, 0.9, 0.95)
TARGET, WORTH = 0.85, 0.05
LEAST = {"least coverage", "coverage", "power"}  # of which the smallest value is the worst
PILOT, PILOTS = 200, 40  # groups of the run before, and how many such runs its interval is averaged over


def at_the_target(setting: Setting, runs: int, seed: int) -> dict[str, float]:
    """Return the false verdicts, and on which side intervals miss, in per cent."""
    counts: dict[str, float] = dict.fromkeys(("untrained", "finetune", "champion"), 0.0)
    misses: dict[str, list[Floats]] = {}
    for part, chance in in_blocks(setting, runs, seed):
        sizes = setting.sizes(chance)
        names = np.repeat(np.arange(setting.groups), sizes)
        arms = draw_arms(setting, sizes, [TARGET] * len(ARMS), part, chance)
        for verdict in _verdicts(arms, names, setting.groups):
            counts["untrained"] += verdict.name in UNTRAINED
            counts["finetune"] += verdict.name.startswith("finetune")
            counts["champion"] += verdict.tuned is not None
        difference = sample_of(arms[-1] - arms[0], names, -1.0)
        misses.setdefault("gain", []).append(_missed(difference, 0.0))
        for mean in MEANS:
            (scores,) = draw_arms(setting, sizes, [mean], part, chance)
            misses.setdefault(f"{mean}", []).append(_missed(sample_of(scores, names), mean))
    rates = {name: 100 * count / runs for name, count in counts.items()}
    for name, found in misses.items():
        rates[f"{name} low"], rates[f"{name} high"] = 100 * np.concatenate(found, axis=1).mean(axis=1)
    held = [100 - rates[f"{name} low"] - rates[f"{name} high"] for name in misses]
    return rates | {"least coverage": min(held), "most coverage": max(held)}


def _missed(sample: Clusters, truth: float) -> Floats:
    """Return for each run whether the low and the high end lie at or beyond the truth, shape (2, runs)."""
    above, below = claimed(sample, truth, LEVEL), claimed(sample.mirrored, -truth, LEVEL)
    return np.stack((above <= LEVEL, below <= LEVEL)).astype(np.float64)


def _verdicts(arms: list[Floats], names: np.ndarray[Any, Any], groups: int) -> list[Found]:
    """Return the verdicts of the runs in which anything is claimed of an arm: all others name none."""
    decision = DecisionConfig(target=TARGET, worth=WORTH, confidence=CONFIDENCE)
    samples = {name: sample_of(scores, names) for name, scores in zip(ARMS, arms, strict=True)}
    untrained = np.stack([samples[name].means for name in UNTRAINED])
    best = np.stack(arms[: len(UNTRAINED)])[untrained.argmax(axis=0), np.arange(len(arms[0]))]
    gains = {name: sample_of(arms[ARMS.index(name)] - best, names, -1.0) for name in TRAINED}
    chances = {name: claimed(sample, TARGET, LEVEL, len(UNTRAINED)) for name, sample in samples.items()}
    worth = {name: claimed(sample, WORTH, LEVEL, len(TRAINED)) for name, sample in gains.items()}
    runs = np.flatnonzero(np.min([*chances.values(), *worth.values()], axis=0) <= LEVEL)
    ends = {name: _intervals(sample.only(runs), groups) for name, sample in samples.items()}
    lifts = {name: _intervals(sample.only(runs), groups) for name, sample in gains.items()}
    facts = {name: _artifact(name, arms[0].shape[1]) for name in ARMS}
    verdicts = []
    for place, run in enumerate(runs):
        met = targets_met({name: float(chances[name][run]) for name in ARMS}, decision)
        earned = claimed_of({name: float(worth[name][run]) for name in TRAINED}, CONFIDENCE)
        gained = {
            name: (lift[place], GAINS[standing(lift[place], WORTH, name in earned)]) for name, lift in lifts.items()
        }
        own = {name: found[place] for name, found in ends.items()}
        reports = [
            arm_report(facts[name], own[name], standing(own[name], TARGET, name in met), gained.get(name))
            for name in ARMS
        ]
        verdicts.append(find(tuple(asked(report, decision, is_shut=False) for report in reports), decision))
    return verdicts


def _intervals(sample: Clusters, groups: int) -> list[Interval]:
    low, high = bounds_of(sample, CONFIDENCE)
    return [Interval(*ends, groups) for ends in zip(sample.means.tolist(), low.tolist(), high.tolist(), strict=True)]


def _artifact(arm: str, rows: int) -> ArmArtifact:
    rates = dict.fromkeys(("score", "valid_rate", "stopped_rate"), 1.0)
    costs = dict.fromkeys(("prompt_tokens", "output_tokens", "seconds_per_row"), 1.0)
    return ArmArtifact(digest="simulated", arm=arm, rows=rows, **rates, **costs)


def at_twice_worth(setting: Setting, runs: int, seed: int) -> dict[str, float]:
    """Return the recommended groups, and how often the gain's low end then reaches `worth`."""
    chance = np.random.default_rng([zlib.crc32(f"{setting}{seed}".encode()), 7])
    low, high = bounds_of(_gained(replace(setting, groups=PILOT), PILOTS, chance), CONFIDENCE)
    spread = spread_of_interval(float(np.mean(high - low)) / 2, PILOT, CONFIDENCE)
    groups = groups_needed(WORTH, spread, CONFIDENCE) or 0
    wanted = replace(setting, groups=groups)
    parts = in_blocks(wanted, runs, seed)
    seen = [claimed(_gained(wanted, part, chance), WORTH, LEVEL) <= LEVEL for part, chance in parts]
    return {"groups": groups, "power": 100 * float(np.concatenate(seen).mean())}


def _gained(setting: Setting, runs: int, chance: np.random.Generator) -> Clusters:
    sizes = setting.sizes(None)
    before, other = draw_arms(setting, sizes, [0.7, 0.7], runs, chance)
    after = repaired(setting, sizes, other, 2 * WORTH, 0.7, chance)
    return sample_of(after - before, np.repeat(np.arange(setting.groups), sizes), -1.0)


def print_table(title: str, rows: dict[Setting, dict[str, float]]) -> None:
    """Print one table in Markdown, and the worst value of every column."""
    columns = list(next(iter(rows.values())))
    print(f"\n### {title}\n\n| score | sizes | correlation | of groups | " + " | ".join(columns) + " |")
    print("|---" * 4 + "|---:" * len(columns) + "|")
    for setting, values in rows.items():
        cells = " | ".join(f"{values[column]:.1f}" for column in columns)
        print(f"| {setting.score} | {setting.shape} | {setting.correlation:g} | {setting.groups} | {cells} |")
    ends = [min if column in LEAST else max for column in columns]
    worst = " | ".join(
        f"{end(row[column] for row in rows.values()):.1f}" for end, column in zip(ends, columns, strict=True)
    )
    print(f"| worst | | | | {worst} |", flush=True)


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
    kinds_of_texts = ("even", "long tails", "skewed", "one in 20 texts")
    texts = [Setting(kind, count, "alone", 0.0) for kind, count in product(kinds_of_texts, (60, 207))]
    with ProcessPoolExecutor(options.processes) as pool:
        for title, judged, settings, runs in (
            ("At the target: false verdicts and ends on the wrong side, %", at_the_target, grid, options.runs),
            ("The gate at the margin: false claims at any look, %", at_the_margin, right_or_wrong, options.runs),
            ("The gate: noise, and 10 points lost on one of five tasks, %", at_the_gate, right_or_wrong, options.runs),
            ("Neutral text at the margin, %", on_neutral_text, texts, max(400, options.runs // 5)),
            ("A gain of twice worth on the recommended groups", at_twice_worth, kinds, max(400, options.runs // 10)),
        ):
            amounts = [runs] * len(settings), [options.seed] * len(settings)
            print_table(title, dict(zip(settings, pool.map(judged, settings, *amounts), strict=True)))


if __name__ == "__main__":
    main()
