"""What is learned of answers: traces as base.thinking says, rejected and unwanted ones as training.objective says."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from schemas.errors import DatasetRefused
from tasks.data.checking.personal import KINDS, masked_rows, personal_rows
from tasks.data.checking.sieve import FINDING, Sieve
from tasks.data.reading.frames import UNWANTED
from tasks.data.splitting import own_group
from tasks.data.text.normalisation import normalised
from tasks.data.text.turns import full_request, opening

NAMES = r"<\|?(?:think|thinking|thought|reasoning|scratchpad)\|?>"
BLOCK = rf"(?is)^\s*{NAMES}(.*?){NAMES.replace('<', '</', 1)}\s*(.*)$"
BEGUN = rf"(?i)^\s*(?:{NAMES}|<\|channel\|>analysis)"
DETAIL = "the answer begins with a reasoning trace, and base.thinking is off"
DAMAGED = "the answer begins with a reasoning trace that does not end"
FILE = "unwanted.parquet"
COLUMNS = ("row_id", "history", "prompt", "completion", "group", "tools", "trace", "weight")
NEEDS = "the row has a rejected or unwanted answer, and training.objective is not set"
NO_PAIR = "the row has no rejected answer to compare its own with"


def sift_traces(sieve: Sieve, thinking: str) -> None:
    """Take out or note rows whose trace is not learned or has no end; leave the others' as base.thinking says."""
    sieve.rows = with_traces(sieve.rows, thinking)
    sieve.sift(unlearned_traces(sieve.rows, thinking))
    if thinking == "off":
        sieve.rows = sieve.rows.with_columns(trace=pl.lit(None, dtype=pl.String))


def traces_in(train: Path) -> list[str]:
    """Return in words how many train rows have a trace, if any has."""
    if "trace" not in pl.read_parquet_schema(train):
        return []
    traces = pl.read_parquet(train, columns=["trace"])["trace"]
    count = traces.len() - traces.null_count()
    without = f"; {traces.null_count()} have none, and teach to answer at once" if traces.null_count() else ""
    return [f"{count} of {traces.len()} train rows have a reasoning trace, which is learned{without}"]


def with_traces(rows: pl.DataFrame, thinking: str) -> pl.DataFrame:
    """Return the rows with the trace of each answer in `trace` and not in `completion`.

    Args:
        rows: need history and completion.
        thinking: base.thinking; unless it is "keep", the traces of earlier turns are left out, as chat templates do.
    """
    answer = pl.col("completion")
    inner = answer.str.extract(BLOCK, 1).str.strip_chars()
    turns = pl.col("history").list.eval(pl.coalesce(pl.element().str.extract(BLOCK, 2), pl.element()))
    return rows.with_columns(
        trace=pl.when(inner != "").then(inner),
        completion=pl.coalesce(answer.str.extract(BLOCK, 2), answer),
        history=pl.col("history") if thinking == "keep" else turns,
    )


def unlearned_traces(rows: pl.DataFrame, thinking: str) -> pl.DataFrame:
    """Return the findings of rows whose trace would not be learned, or that has no end."""
    is_damaged = pl.col("completion").str.contains(BEGUN)
    is_unlearned = pl.col("trace").is_not_null() & (thinking == "off")
    detail = pl.when(is_damaged).then(pl.lit(DAMAGED)).otherwise(pl.lit(DETAIL))
    found = rows.filter((is_damaged | is_unlearned).fill_null(False))
    return found.select("row_id", reason=pl.lit("reasoning_trace"), detail=detail).select(list(FINDING))


def sift_preferences(sieve: Sieve, objective: str | None) -> pl.DataFrame:
    """Take out the rows that the objective cannot read, and return the unwanted answers, of which kto alone learns."""
    is_unwanted, has_pair = (pl.col("reason") == UNWANTED).fill_null(False), pl.col("rejected").is_not_null()
    unwanted = sieve.rows.filter(is_unwanted & (objective == "kto"))
    if objective is None:
        _take_out(sieve, has_pair | is_unwanted, NEEDS)
    elif objective in ("dpo", "orpo"):
        _take_out(sieve, ~has_pair & pl.col("reason").is_null(), NO_PAIR)
    elif objective == "sft":
        sieve.rows = sieve.rows.with_columns(rejected=pl.lit(None, dtype=pl.String))
    return _screened(unwanted, sieve)


def write_unwanted(unwanted: list[pl.DataFrame], held: pl.DataFrame, out: Path, objective: str | None) -> int:
    """Write the unwanted answers to requests that are not held out, and return how many there are.

    Args:
        unwanted: rows of `sift_preferences`.
        held: the held-out rows.
        out: where unwanted.parquet goes, beside the train rows.
        objective: the run's; kto needs something to compare with.

    Raises:
        DatasetRefused: no train row has an answer to compare with.
    """
    asked = normalised(full_request(held))
    rows = pl.concat(unwanted)
    rows = rows.filter(~pl.col("normalised").is_in(asked.implode()), ~pl.col("group").is_in(held["group"].implode()))
    if rows.height:
        rows.drop("normalised").write_parquet(out / FILE)
    elif objective == "kto" and "rejected" not in pl.read_parquet_schema(out / "train.parquet"):
        raise DatasetRefused(
            'training.objective "kto" compares wanted with unwanted answers, and no train row has one: give rows with '
            'a rejected answer or a label of false, or set the objective to "sft".'
        )
    return rows.height


def _screened(unwanted: pl.DataFrame, sieve: Sieve) -> pl.DataFrame:
    """Return the unwanted answers as kept rows, without those whose personal data takes a row out, and masked."""
    own = Sieve(unwanted.filter(pl.col("completion").str.contains(r"\S")), sieve.actions, unwanted.height)
    own.sift(personal_rows(own.rows))
    rows = masked_rows(own.rows, [kind for kind in KINDS if own.action(kind) == "mask"])
    rows = rows.with_columns(normalised=normalised(full_request(rows)))
    named = own_group(opening(rows).fill_null(""))
    return rows.with_columns(pl.coalesce("group", named)).select(*COLUMNS, "normalised")


def _take_out(sieve: Sieve, which: pl.Expr, detail: str) -> None:
    found = sieve.rows.filter(which)
    sieve.sift(found.select("row_id", reason=pl.lit("preference"), detail=pl.lit(detail)).select(list(FINDING)))
