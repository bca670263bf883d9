"""How alike the labels of both sides are. The split is not moved for it: a group's side is given by the seed and its
name alone.

Equal shares and a side that never changes cannot both be had (tasks/data/splitting.py). The fixed side wins; what it
costs is said in numbers, and where it costs much, a seed is named that costs less. Whoever sets it once has sides that
are even on the rows of that day and never move afterwards: a choice by a person, not by the next row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from tasks.data.overlap.duplicates import fingerprint
from tasks.data.splitting import is_held_out

SEEDS = 64  # seeds that are tried when an evener one is looked for
TRIED = 20_000  # groups up to which it is looked for; with more, shares are close by their number alone
SHIFT = 0.05  # difference of a label's shares from which on it is said
WIDE = 2  # times more or less of a label held out than was asked for, from which on it is said
FEWEST = 20  # rows of a label below which its share says nothing
NAMED = 5


def label_counts(answered: pl.Series, labels: tuple[str, ...]) -> dict[str, int]:
    """Return label -> rows, for every label that an answer may be; `answered` are the answers' fingerprints
    (tasks.data.overlap.duplicates).
    """
    counts = dict(answered.alias("answer").to_frame().group_by("answer").len().iter_rows())
    return {
        label.strip(): int(counts.get(known, 0))
        for label, known in zip(labels, fingerprint(pl.Series(labels)), strict=True)
    }


def balance_of(train: dict[str, int], held_out: dict[str, int], asked: float) -> dict[str, Any]:
    """Return the labels that stand on one side only, the one whose share of the sides differs most, and those of which
    least and most is held out.

    Args:
        train: label -> rows.
        held_out: label -> rows.
        asked: the share that was to be held out.
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
    """Return the seed, of the first SEEDS, that splits these rows most evenly, and what it would leave: None where
    there are too many groups.

    Seeds are compared by the labels that would stand on one side only, then by the sum of squared differences from the
    share asked for, each in units of its variance.

    Args:
        rows: need group, label and rows (how many rows of a group have the label).
        share: of the groups, that is to be held out.
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
        held = np.bincount(
            labels, weights * np.array([is_held_out(name, seed, share) for name in names])[number], whole.size
        )
        one_sided, squares = (
            int(((held == 0) | (held == whole)).sum()),
            float(((held - share * whole) ** 2 / whole).sum()),
        )
        if 0 < held.sum() < whole.sum():
            farthest = float(np.abs(held / held.sum() - (whole - held) / (whole - held).sum()).max())
            tried.append((one_sided, squares, seed, round(farthest, 4)))
    return dict(zip(("one_sided", "squares", "seed", "farthest"), min(tried), strict=True)) if tried else None


def unbalanced(balance: dict[str, Any]) -> list[str]:
    """Return what is to be said about a balance; nothing where both sides are alike."""
    farthest, lines = balance["farthest"], []
    if balance["not_measured"]:
        lines.append(f"{_named(balance['not_measured'])} no held-out row, so nothing is measured of it")
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
        f"{end['share']:.0%} of the rows of {end['label']!r} are held out, {balance['asked']:.0%} was asked for"
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
    drawn = "a group's side follows from the seed and its name, so that no row ever moves"
    if evener is None or (evener["one_sided"], evener["farthest"]) >= (lonely, off):
        return f"{drawn}; another seed or finer groups draw other shares"
    left = (
        f"{evener['one_sided']} of {lonely} labels on one side only"
        if lonely
        else f"no label's share off by more than {evener['farthest']:.1%}"
    )
    return f"{drawn}; of seeds 0 to {SEEDS - 1}, seed: {evener['seed']} draws the evenest sides of these rows ({left})"
