"""The tables of benchmarks/training.py: medians of the rounds, and the comparisons with trl."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import Any

TRL = ("trl-padded", "trl-padding-free", "trl-packing")


def table(rounds: Sequence[dict[str, dict[str, Any]]]) -> Iterator[str]:
    """Yield a table's lines, and the comparisons with trl."""
    yield (
        f"{'line':28}{'tokens/s':>9}{'loss, first':>12}{'loss, last':>11}{'held out':>9}{'peak GiB':>9}"
        f"{'GFLOP/s':>8}{'roofline':>9}"
    )
    for line in rounds[0]:
        losses, held_out = rounds[0][line]["losses"], rounds[0][line]["held_out"]
        speed, rate, share, peak = (middle(rounds, line, name) for name in ("tokens_per_s", "rate", "share", "peak"))
        yield (
            f"{line:28}{speed:>9.0f}{losses[0]:>12.4f}{losses[-1]:>11.4f}{held_out:>9.4f}{peak / 2**30:>9.2f}"
            f"{rate / 1e9:>8.0f}{share:>9.0%}"
        )
    yield from comparisons(rounds)


def middle(rounds: Sequence[dict[str, dict[str, Any]]], line: str, name: str) -> float:
    """Return the median of the rounds."""
    return statistics.median(measured[line][name] for measured in rounds)


def comparisons(rounds: Sequence[dict[str, dict[str, Any]]]) -> Iterator[str]:
    """Yield the comparisons with trl that the lines at hand allow."""
    first = rounds[0]
    for method in ("lora", "qlora"):
        ours, others = f"engine/{method}/bf16", [f"{name}/{method}/bf16" for name in TRL]
        if ours not in first or not all(line in first for line in others):
            continue
        speeds = {line: middle(rounds, line, "tokens_per_s") for line in [ours, *others]}
        best = max(others, key=speeds.__getitem__)
        peak, loss = (middle(rounds, ours, name) / middle(rounds, others[1], name) for name in ("peak", "held_out"))
        versus = (
            f"{speeds[ours] / speeds[best]:.2f}x trl's best ({best}), {speeds[ours] / speeds[others[0]]:.2f}x its "
            "padded one"
        )
        yield f"{method}, bf16: {versus}; peak {peak:.2f}x and held-out loss {loss:.3f}x padding-free's"
    pair = [line for line in ("engine/lora/fp32", "trl-padded/lora/fp32", "plain/lora/fp32") if line in first][:2]
    if len(pair) == 2:
        apart = max(abs(one - other) for one, other in zip(*(first[line]["losses"] for line in pair), strict=True))
        yield f"fp32: {pair[0]} and {pair[1]} are at most {apart:.1e} apart in a step's loss"
