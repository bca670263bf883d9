"""How alike the labels of both sides are. The split is not moved for it: a group's side is given by the seed and its name alone.

Equal shares and a side that never changes cannot both be had: to even the shares out, a group's side would have to depend on which other
rows there are, and a row that was trained on yesterday would be measured today. The fixed side wins; what it costs is said in numbers.
"""

from __future__ import annotations

from typing import Any

import polars as pl

from tasks.data.overlap import fingerprint

SHIFT = 0.05  # difference of a label's shares from which on it is said
NAMED = 5


def label_counts(answered: pl.Series, labels: tuple[str, ...]) -> dict[str, int]:
    """Return label -> rows, for every label that an answer may be; `answered` are the answers' fingerprints (tasks.data.overlap)."""
    counts = dict(answered.alias("answer").to_frame().group_by("answer").len().iter_rows())
    return {label.strip(): int(counts.get(known, 0)) for label, known in zip(labels, fingerprint(pl.Series(labels)), strict=True)}


def balance_of(train: dict[str, int], held_out: dict[str, int]) -> dict[str, Any]:
    """Return the labels that stand on one side only, and the label whose share of the held-out rows is farthest from that of the train rows."""
    shares = {label: (train[label] / max(1, sum(train.values())), held_out[label] / max(1, sum(held_out.values()))) for label in train}
    farthest = max(shares, key=lambda label: abs(shares[label][1] - shares[label][0]))
    return {
        "not_measured": [label for label in train if train[label] and not held_out[label]],
        "not_learned": [label for label in train if held_out[label] and not train[label]],
        "farthest": {"label": farthest, "train": round(shares[farthest][0], 4), "held_out": round(shares[farthest][1], 4)},
    }


def unbalanced(balance: dict[str, Any]) -> list[str]:
    """Return what is to be said about a balance; nothing where both sides are alike."""
    farthest, lines = balance["farthest"], []
    if balance["not_measured"]:
        lines.append(f"{_named(balance['not_measured'])} no held-out row, so nothing is measured of it")
    if balance["not_learned"]:
        lines.append(f"{_named(balance['not_learned'])} no train row, so it cannot be learned")
    if abs(farthest["train"] - farthest["held_out"]) > SHIFT:
        lines.append(f"{farthest['label']!r} is {farthest['train']:.1%} of the train rows and {farthest['held_out']:.1%} of the held-out rows")
    hint = "; a group's side follows from the seed and its name, so another seed or finer groups draw other shares"
    return [*lines[:-1], lines[-1] + hint] if lines else []


def _named(labels: list[str]) -> str:
    first = ", ".join(repr(label) for label in labels[:NAMED])
    return f"{len(labels)} label{'s have' if len(labels) > 1 else ' has'} ({first}{f', +{len(labels) - NAMED}' if len(labels) > NAMED else ''})"
