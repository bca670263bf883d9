"""Rows against the limits of base and config: too long to train on, or an answer that no arm may write out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from tasks.data.checking.refusing import row_numbers

if TYPE_CHECKING:
    from tasks.reuse.progress import Reporter

SIDES = ("train", "held_out")
NAMED = 12  # rows in a message


@dataclass(frozen=True)
class Limits:
    """Limits on a row's tokens: the base's context window, training.max_length if anything is to be trained, and
    arms.max_new_tokens with the share of held-out answers that may need more.
    """

    window: int
    max_length: int | None
    max_new_tokens: int | None = None
    longer_answers: float = 1.0

    def of(self, side: str) -> int:
        """Return a side's limit; held-out rows are never trained on, so only the context window limits them."""
        return min(self.window, self.max_length or self.window) if side == "train" else self.window


def too_long(lengths: pl.DataFrame, limits: Limits) -> list[str]:
    """Return a message for each side with rows over its limit: the rows, and the answer tokens that would be lost."""
    return list(filter(None, (_too_long_on(side, lengths.filter(pl.col("side") == side), limits) for side in SIDES)))


def cut_off(lengths: pl.DataFrame, limits: Limits, reporter: Reporter) -> list[str]:
    """Return a message if more held-out answers than allowed need more tokens than any arm may write; say fewer."""
    held_out, most = lengths.filter(pl.col("side") == "held_out"), limits.max_new_tokens
    if most is None:
        return []
    long = held_out.filter(pl.col("answer_tokens") - 1 > most)  # the stop token need not be written
    if long.is_empty():
        return []
    needed = int(long["answer_tokens"].max()) - 1  # type: ignore[arg-type]
    told = (
        f"{long.height} of {held_out.height} held-out answers ({row_numbers(long['row_id'])}) need up to {needed} "
        f"tokens, and arms.max_new_tokens is {most}, so that no arm can give them"
    )
    if long.height <= limits.longer_answers * held_out.height:
        reporter.say(f"rendering: {told}")
        return []
    return [f"{told}: set arms.max_new_tokens to {needed}, or raise arms.longer_answers ({limits.longer_answers:g})."]


def _too_long_on(side: str, lengths: pl.DataFrame, limits: Limits) -> str:
    limit, tokens = limits.of(side), pl.col("prompt_tokens") + pl.col("answer_tokens")
    long = (
        lengths.with_columns(tokens=tokens)
        .filter(pl.col("tokens") > limit)
        .sort("tokens", "row_id", descending=[True, False])
    )
    if long.is_empty():
        return ""
    longest = int(long["tokens"][0])
    allowed = (
        f"the base model's context window is {limit}"
        if limit == limits.window
        else f"training.max_length allows {limit}"
    )
    mend = (
        f"set training.max_length to {longest}"
        if longest <= limits.window
        else "name a base model with a longer context window"
    )
    lost = pl.min_horizontal("answer_tokens", pl.col("tokens") - limit).alias("lost")
    first = long.head(NAMED).select("row_id", "tokens", lost, "answer_tokens").iter_rows()
    named = [
        f"row {row} ({count} tokens, {gone} of {answer} answer tokens would be lost)"
        for row, count, gone, answer in first
    ]
    rest = f", +{long.height - NAMED}" if long.height > NAMED else ""
    return (
        f"{long.height} of {lengths.height} {side} rows are too long: {allowed} tokens: {', '.join(named)}{rest}. "
        f"Nothing is truncated: shorten them, or {mend}."
    )
