"""Train rows as token ids: rendered by the base's template, refused by name if too long, split for validation."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.errors import DatasetRefused

NAMED = 12


@dataclass(frozen=True)
class TokenRow:
    """One rendered row. The model is trained to give `answer_ids`, the last of which is the stop token; `weight` is how
    much each of them counts. Where answers are compared, `kind` is wanted, rejected or mismatched.
    """

    row_id: int
    group: str
    prompt_ids: list[int]
    answer_ids: list[int]
    weight: float = 1.0
    kind: str = "wanted"

    @property
    def tokens(self) -> int:
        """Number of tokens of the whole row, prompt and answer."""
        return len(self.prompt_ids) + len(self.answer_ids)


def read_rows(parquet: Path, tokenizer: Any, instruction: str) -> list[TokenRow]:
    """Return every row of train.parquet as token ids, in the order of the file, each followed by its rejected answer if
    it has one.

    Raises:
        DatasetRefused: there is no row, or the tokenizer cannot write some rows' answers; the message names them all.
    """
    import polars as pl

    from schemas.rows import with_optional
    from tasks.inference.prompts.rendering import render_row

    rows: list[TokenRow] = []
    refused: list[str] = []
    frame = with_optional(pl.read_parquet(parquet))
    parts = ("prompt", "completion", "history", "tools", "trace")
    for row in frame.iter_rows(named=True):
        for kind, answer in (("wanted", row["completion"]), ("rejected", row["rejected"])):
            if answer is None:
                continue
            own = row | {"completion": answer} | ({} if kind == "wanted" else {"trace": None})
            try:
                rendered = render_row(tokenizer, instruction, *(own[part] for part in parts))
                _refuse_empty_answer(rendered.answer_ids)
            except DatasetRefused as problem:
                refused.append(f"row {row['row_id']}: {problem}")
                break
            ids = list(rendered.prompt_ids), list(rendered.answer_ids)
            rows.append(TokenRow(row["row_id"], row["group"], *ids, row["weight"] or 1.0, kind))
    if refused:
        raise DatasetRefused(f"{len(refused)} train rows cannot be learned:\n  " + "\n  ".join(refused[:NAMED]))
    if not rows:
        raise DatasetRefused("There is no train row. Give more rows, or lower data.held_out.")
    return rows


def _refuse_empty_answer(answer_ids: Sequence[int]) -> None:
    # The prompt is never a label, and the last answer token is the stop token.
    if len(answer_ids) < 2:
        raise DatasetRefused(
            "it has no answer, so every token of it is masked and there is nothing to learn. Give it an answer, or "
            "take it out."
        )


def refuse_long_rows(rows: Sequence[TokenRow], max_length: int, window: int | None) -> None:
    """Refuse rows that would have to be cut.

    Raises:
        DatasetRefused: rows have more tokens than training.max_length, or than the base model's window.
    """
    limit = min(max_length, window or max_length)
    long = [row for row in rows if row.tokens > limit]
    if not long:
        return
    longest = max(row.tokens for row in long)
    answers = [row for row in long if len(row.answer_ids) >= limit]
    hopeless = f" The answer alone exceeds the limit in {named(answers)}, whatever the prompt." if answers else ""
    allowed = f"training.max_length allows {max_length}"
    remedy = f"set training.max_length to {longest}"
    if window and max_length > window:
        allowed = f"the base model's context window is {window}"
    if window and longest > window:
        remedy = "name a base model with a longer context window"
    raise DatasetRefused(
        f"{len(long)} of {len(rows)} train rows are too long: {allowed} tokens, the longest has {longest} "
        f"({named(long)}). Rows are never cut: shorten them, or {remedy}.{hopeless}"
    )


def named(rows: Sequence[TokenRow]) -> str:
    """Return the rows by their numbers, the first dozen in full: "rows 12, 40, +3"."""
    numbers = ", ".join(str(row.row_id) for row in rows[:NAMED])
    return f"row{'s' if len(rows) > 1 else ''} {numbers}" + (f", +{len(rows) - NAMED}" if len(rows) > NAMED else "")


def split_validation(rows: Sequence[TokenRow], share: float, seed: int) -> tuple[list[TokenRow], list[TokenRow]]:
    """Return (train rows, validation rows): whole groups drawn by the seed; none where there is only one group."""
    groups = sorted({row.group for row in rows})
    count = min(max(1, round(share * len(groups))), len(groups) - 1) if share > 0 else 0
    drawn = set(random.Random(f"validation-{seed}").sample(groups, count))
    return [row for row in rows if row.group not in drawn], [row for row in rows if row.group in drawn]


def common_prefix(rows: Sequence[TokenRow]) -> int:
    """Return how many first tokens all prompts share, without the last token of any prompt."""
    # What the first and the last prompt in order share, all between them share.
    first, last = min(row.prompt_ids for row in rows), max(row.prompt_ids for row in rows)
    shared = 0
    for one, other in zip(first, last, strict=False):
        if one != other:
            break
        shared += 1
    return min(shared, min(len(row.prompt_ids) for row in rows) - 1)
