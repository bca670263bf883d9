"""The balance of labels between train and held out. The split is not adjusted for it: a group's side depends only on
the seed and its name.

A split cannot have both equal shares and sides that never change (tasks/data/splitting.py). The stable sides win; the
imbalance is reported in numbers, and if it is large, a seed with less of it is suggested. Setting that seed once gives
sides that are balanced for today's rows and never move afterwards.
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
    return {
        label.strip(): int(counts.get(known, 0))
        for label, known in zip(labels, fingerprint(pl.Series(labels)), strict=True)
    }


def balance_of(train: dict[str, int], held_out: dict[str, int], asked: float) -> dict[str, Any]:
    """Return the labels that are on one side only, the label whose shares of the two sides differ most, and the labels
    with the smallest and largest held-out share.

    Args:
        train: label -> rows.
        held_out: label -> rows.
        asked: the requested held-out share.
    """
    shares = {
        label: (train[label] / max(1, sum(train.values())), held_out[label] / max(1, sum(held_out.values())))
        for label in train
    }
    farthest = max(shares, key=lambda label: abs(shares[label][1] - shares[label][0]))
    both = [label for label in train if train[label] and held_out[label] and train[label] + held_out[label] >= FEWEST]
    held = {label: round(held_out[label] / (train[label] + held_out[label]), 4) for label in both}
    ends = (min(held, key=lambda label: held[label]), max(held, key=lambda label: held[label])) if held else ()
    return {
        "asked": asked,
        "held_out_of": [{"label": label, "share": held[label]} for label in ends],
        "not_measured": [label for label in train if train[label] and not held_out[label]],
        "not_learned": [label for label in train if held_out[label] and not train[label]],
        "farthest": {
            "label": farthest,
            "train": round(shares[farthest][0], 4),
            "held_out": round(shares[farthest][1], 4),
        },
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
    labels, number = (
        rows["label"].rank("dense").to_numpy() - 1,
        rows["group"].replace_strict(groups, np.arange(groups.len())).to_numpy(),
    )
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
        lines.append(
            f"{farthest['label']!r} is {farthest['train']:.1%} of the train rows and {farthest['held_out']:.1%} of "
            "the held-out rows"
        )
    wide = [
        end for end in balance["held_out_of"] if not balance["asked"] / WIDE <= end["share"] <= balance["asked"] * WIDE
    ]
    lines += [
        f"{end['share']:.0%} of the rows of {end['label']!r} are held out, {balance['asked']:.0%} was requested"
        for end in wide
    ]
    return [*lines, _advice(balance)] if lines else []


def _named(labels: list[str]) -> str:
    first = ", ".join(repr(label) for label in labels[:NAMED])
    return (
        f"{len(labels)} label{'s have' if len(labels) > 1 else ' has'} "
        f"({first}{f', +{len(labels) - NAMED}' if len(labels) > NAMED else ''})"
    )


def _advice(balance: dict[str, Any]) -> str:
    evener, lonely = balance.get("evener_seed"), len(balance["not_measured"]) + len(balance["not_learned"])
    off = abs(balance["farthest"]["train"] - balance["farthest"]["held_out"])
    drawn = "a group's side depends only on the seed and its name, so that no row ever moves"
    if evener is None or (evener["one_sided"], evener["farthest"]) >= (lonely, off):
        return f"{drawn}; another seed or smaller groups give other shares"
    left = (
        f"{evener['one_sided']} of {lonely} labels on one side only"
        if lonely
        else f"no label's share differs by more than {evener['farthest']:.1%}"
    )
    return f"{drawn}; of the seeds 0 to {SEEDS - 1}, seed: {evener['seed']} splits these rows most evenly ({left})"
