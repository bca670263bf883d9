"""The balance of labels between train and held out, reported in numbers, with a better seed where it is poor.

The split is not adjusted for it: no split has both equal shares and sides that never change (tasks/data/splitting.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from tasks.data.overlap.duplicates import fingerprint
from tasks.data.splitting import is_held_out

SEEDS = 64  # seeds tried in the search for a more balanced one
TRIED = 20_000  # groups up to which seeds are tried; with more groups, shares are close anyway
SHIFT = 0.05  # difference between a label's shares from which on it is reported
WIDE = 2  # factor between a label's held-out share and the requested one from which on it is reported
FEWEST = 20  # rows of a label below which its share is meaningless
NAMED = 5


def label_counts(answered: pl.Series, labels: tuple[str, ...]) -> dict[str, int]:
    """Return label -> rows for every label of the task; `answered` are the answers' fingerprints."""
    counts = dict(answered.alias("answer").to_frame().group_by("answer").len().iter_rows())
    known = zip(labels, fingerprint(pl.Series(labels)), strict=True)
    return {label.strip(): int(counts.get(answer, 0)) for label, answer in known}


def balance_of(train: dict[str, int], held_out: dict[str, int], asked: float) -> dict[str, Any]:
    """Return the labels on one side only, the label whose shares of the sides differ most, and those with the smallest
    and largest held-out share; `train` and `held_out` are label -> rows, `asked` is the requested held-out share.
    """
    sums = max(1, sum(train.values())), max(1, sum(held_out.values()))
    shares = {label: (train[label] / sums[0], held_out[label] / sums[1]) for label in train}
    farthest = max(shares, key=lambda label: abs(shares[label][1] - shares[label][0]))
    both = [label for label in train if train[label] and held_out[label] and train[label] + held_out[label] >= FEWEST]
    held = {label: round(held_out[label] / (train[label] + held_out[label]), 4) for label in both}
    ends = (min(held, key=lambda label: held[label]), max(held, key=lambda label: held[label])) if held else ()
    of_train, of_held_out = (round(share, 4) for share in shares[farthest])
    return {
        "asked": asked,
        "held_out_of": [{"label": label, "share": held[label]} for label in ends],
        "not_measured": [label for label in train if train[label] and not held_out[label]],
        "not_learned": [label for label in train if held_out[label] and not train[label]],
        "farthest": {"label": farthest, "train": of_train, "held_out": of_held_out},
    }


def evener_seed(rows: pl.DataFrame, share: float) -> dict[str, Any] | None:
    """Return the seed, among the first SEEDS, that splits these rows most evenly, with the imbalance it leaves; None if
    there are too many groups.

    Groups that near-duplicates tie together are counted as they are tied under today's seed. Seeds are compared by the
    number of labels on one side only, then by the sum of squared differences from the
    requested share, each in units of its variance.

    Args:
        rows: need group, label and rows (how many rows of a group have the label).
        share: the share of groups to hold out.
    """
    groups = rows["group"].unique(maintain_order=True)
    if groups.len() > TRIED:
        return None
    labels = rows["label"].rank("dense").to_numpy() - 1
    number = rows["group"].replace_strict(groups, np.arange(groups.len())).to_numpy()
    weights, names = rows["rows"].to_numpy(), groups.to_list()
    whole = np.bincount(labels, weights)
    tried = []
    for seed in range(SEEDS):
        sides = np.array([is_held_out(name, seed, share) for name in names])
        held = np.bincount(labels, weights * sides[number], whole.size)
        one_sided = int(((held == 0) | (held == whole)).sum())
        squares = float(((held - share * whole) ** 2 / whole).sum())
        if 0 < held.sum() < whole.sum():
            farthest = float(np.abs(held / held.sum() - (whole - held) / (whole - held).sum()).max())
            tried.append((one_sided, squares, seed, round(farthest, 4)))
    return dict(zip(("one_sided", "squares", "seed", "farthest"), min(tried), strict=True)) if tried else None


def unbalanced(balance: dict[str, Any]) -> list[str]:
    """Return warnings about a balance; none if both sides are similar."""
    farthest, lines = balance["farthest"], []
    if balance["not_measured"]:
        lines.append(f"{_named(balance['not_measured'])} no held-out row, so it is not measured")
    if balance["not_learned"]:
        lines.append(f"{_named(balance['not_learned'])} no train row, so it cannot be learned")
    if abs(farthest["train"] - farthest["held_out"]) > SHIFT:
        of_train = f"{farthest['label']!r} is {farthest['train']:.1%} of the train rows"
        lines.append(f"{of_train} and {farthest['held_out']:.1%} of the held-out rows")
    asked = balance["asked"]
    for end in balance["held_out_of"]:
        if not asked / WIDE <= end["share"] <= asked * WIDE:
            held = f"{end['share']:.0%} of the rows of {end['label']!r} are held out"
            lines.append(f"{held}, {asked:.0%} was requested")
    return [*lines, _advice(balance)] if lines else []


def _named(labels: list[str]) -> str:
    first, rest = ", ".join(map(repr, labels[:NAMED])), len(labels) - NAMED
    return f"{len(labels)} label{'s have' if len(labels) > 1 else ' has'} ({first}{f', +{rest}' if rest > 0 else ''})"


def _advice(balance: dict[str, Any]) -> str:
    evener, lonely = balance.get("evener_seed"), len(balance["not_measured"]) + len(balance["not_learned"])
    off = abs(balance["farthest"]["train"] - balance["farthest"]["held_out"])
    drawn = "a group's side depends only on the seed and its name, so that no row ever moves"
    if evener is None or (evener["one_sided"], evener["farthest"]) >= (lonely, off):
        return f"{drawn}; another seed or smaller groups give other shares"
    left = f"no label's share differs by more than {evener['farthest']:.1%}"
    left = f"{evener['one_sided']} of {lonely} labels on one side only" if lonely else left
    return f"{drawn}; of the seeds 0 to {SEEDS - 1}, seed: {evener['seed']} splits these rows most evenly ({left})"
