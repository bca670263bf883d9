"""Train rows as token ids: rendered through the base's template, refused by name when too long, and split by group for
validation.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.errors import ConfigRefused, DatasetRefused

NAMED = 12


@dataclass(frozen=True)
class TokenRow:
    """One rendered row. The model is trained to give `answer_ids`, the last of which is the stop token."""

    row_id: int
    group: str
    prompt_ids: list[int]
    answer_ids: list[int]

    @property
    def tokens(self) -> int:
        """Number of tokens of the whole row, prompt and answer."""
        return len(self.prompt_ids) + len(self.answer_ids)


def read_rows(parquet: Path, tokenizer: Any, instruction: str) -> list[TokenRow]:
    """Return every row of train.parquet as token ids, in the order of the file.

    Raises:
        DatasetRefused: there is no row, or the tokenizer cannot write some rows' answers; the message names them all.
    """
    import polars as pl

    from tasks.inference.prompts.rendering import render_row

    rows: list[TokenRow] = []
    refused: list[str] = []
    for record in pl.read_parquet(parquet, columns=["row_id", "history", "prompt", "completion", "group"]).iter_rows(
        named=True
    ):
        try:
            rendered = render_row(tokenizer, instruction, record["prompt"], record["completion"], record["history"])
            rows.append(
                _with_labels(
                    TokenRow(record["row_id"], record["group"], list(rendered.prompt_ids), list(rendered.answer_ids))
                )
            )
        except DatasetRefused as problem:
            refused.append(f"row {record['row_id']}: {problem}")
    if refused:
        raise DatasetRefused(f"{len(refused)} train rows cannot be learned:\n  " + "\n  ".join(refused[:NAMED]))
    if not rows:
        raise DatasetRefused("There is no train row. Give more rows, or lower data.held_out.")
    return rows


def _with_labels(row: TokenRow) -> TokenRow:
    # The prompt is never a label, and the last answer token only says that the answer ends.
    if len(row.answer_ids) < 2:
        raise DatasetRefused(
            "it has no answer, so every token of it is masked and there is nothing to learn. Give it an answer, or "
            "take it out."
        )
    return row


def refuse_foreign_tokenizer(tokenizer: Any, embeddings: int) -> None:
    """Refuse a tokenizer that knows more tokens than the base has embeddings.

    Raises:
        ConfigRefused: it belongs to another model, or was extended without it.
    """
    highest = max(tokenizer.get_vocab().values())
    if highest >= embeddings:
        name = tokenizer.convert_ids_to_tokens(highest)
        raise ConfigRefused(
            f"base.model: its tokenizer does not belong to it: token {highest} ({name!r}) is beyond the model's "
            f"{embeddings} embeddings. "
            "Put the model's own tokenizer beside its weights, or give the model the embeddings that it lacks."
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
    longest, answers = max(row.tokens for row in long), [row for row in long if len(row.answer_ids) >= limit]
    hopeless = f" Of {named(answers)} the answer alone is longer than that, whatever the request." if answers else ""
    allowed = (
        f"training.max_length allows {max_length}"
        if max_length <= (window or max_length)
        else f"the base model's window holds {window}"
    )
    mend = (
        f"set training.max_length to {longest}"
        if longest <= (window or longest)
        else "name a base model with a longer window"
    )
    raise DatasetRefused(
        f"{len(long)} of {len(rows)} train rows are too long: {allowed} tokens, the longest has {longest} "
        f"({named(long)}). "
        f"Nothing is cut: shorten these rows, or {mend}.{hopeless}"
    )


def named(rows: Sequence[TokenRow]) -> str:
    """Return the rows by their numbers, the first dozen in full: "rows 12, 40, +3"."""
    numbers = ", ".join(str(row.row_id) for row in rows[:NAMED])
    return f"row{'s' if len(rows) > 1 else ''} {numbers}" + (f", +{len(rows) - NAMED}" if len(rows) > NAMED else "")


def split_validation(rows: Sequence[TokenRow], share: float, seed: int) -> tuple[list[TokenRow], list[TokenRow]]:
    """Return (rows to learn from, rows that pick the best adapter): whole groups, drawn by the seed; no second part
    where one group is all there is.
    """
    groups = sorted({row.group for row in rows})
    count = min(max(1, round(share * len(groups))), len(groups) - 1) if share > 0 else 0
    drawn = set(random.Random(f"validation-{seed}").sample(groups, count))
    return [row for row in rows if row.group not in drawn], [row for row in rows if row.group in drawn]


def common_prefix(rows: Sequence[TokenRow]) -> int:
    """Return how many first tokens all prompts share; each row keeps at least the last token of its prompt for
    itself.
    """
    first, last = min(row.prompt_ids for row in rows), max(row.prompt_ids for row in rows)
    shared = next(
        (position for position, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]),
        min(len(first), len(last)),
    )
    return min(shared, min(len(row.prompt_ids) for row in rows) - 1)
