"""Duplicates: repeated rows, conflicting answers, and train rows whose request is in the held-out set too.

Rows are compared by 64-bit fingerprints (`with_keys`), which are all that stays in memory of their texts.
"""

from __future__ import annotations

import polars as pl

from tasks.data.checking.sieve import FINDING
from tasks.data.overlap.repeats import rows_repeating
from tasks.data.text.normalisation import single_spaced, without_punctuation


def with_keys(rows: pl.DataFrame) -> pl.DataFrame:
    """Add fingerprints: `asked` of the request (column `normalised`), `answered` of the answer, and `repeats` of both,
    the request without punctuation, with the rejected answer and the tools.
    """
    keyed = rows.with_columns(
        asked=rows["normalised"].hash(seed=1),
        answered=fingerprint(rows["completion"]),
        without_punctuation=without_punctuation(rows["normalised"]).hash(seed=1),
    )
    repeats = pl.struct("without_punctuation", "answered").hash(seed=3)
    for column in ("rejected", "tools"):  # the same answer may be preferred to several, or belong to other tools
        if column in rows.columns:
            repeats ^= pl.when(pl.col(column).is_not_null()).then(pl.col(column).hash(seed=5)).otherwise(0)
    return keyed.with_columns(repeats=repeats).drop("without_punctuation")


def fingerprint(answers: pl.Series) -> pl.Series:
    """Return a fingerprint of each answer, ignoring differences in white space."""
    return single_spaced(answers).hash(seed=2)


def exact_duplicates(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with an earlier one's request (ignoring punctuation) and answer."""
    first = pl.col("row_id").first().over("repeats")
    found = rows_repeating(rows.select("row_id", "repeats"), "repeats")
    found = found.with_columns(other=first).filter(pl.col("row_id") != pl.col("other"))
    return _pointing(found, "exact_duplicate", "repeats row {}")


def conflicting_answers(rows: pl.DataFrame) -> pl.DataFrame:
    """Return every row whose request has another answer elsewhere, so that it is unclear which one is right."""
    first, last = pl.col("row_id").first().over("asked"), pl.col("row_id").last().over("asked")
    several = pl.col("answered").n_unique().over("asked") > 1
    other = pl.when(pl.col("row_id") == first).then(last).otherwise(first)
    found = (
        rows_repeating(rows.select("row_id", "asked", "answered"), "asked").filter(several).with_columns(other=other)
    )
    return _pointing(found, "conflicting_answers", "gives another answer to the request of row {}")


def constant_answers(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the first row if all rows have one answer."""
    same = rows.head(1) if rows.height > 1 and rows["answered"].n_unique() == 1 else rows.clear()
    detail = pl.lit(f"all {rows.height} rows have this one answer")
    return same.select("row_id", reason=pl.lit("constant_answer"), detail=detail).select(list(FINDING))


def unlearnable_labels(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the held-out rows whose label no train row has, so that nothing can learn it."""
    learned = rows.filter(~pl.col("is_held_out"))["answered"]
    lone = rows.filter(pl.col("is_held_out") & ~pl.col("answered").is_in(learned.implode()))
    detail = pl.lit("no train row has its label, so that a tuned model can hardly give it")
    return lone.select("row_id", reason=pl.lit("unlearnable_label"), detail=detail).select(list(FINDING))


def in_held_out(rows: pl.DataFrame) -> pl.DataFrame:
    """Return every train row whose request is also in the held-out set."""
    again = rows_repeating(rows.select("row_id", "asked", "is_held_out"), "asked")
    asked = (
        again.filter("is_held_out").select("asked", other="row_id").unique("asked", keep="first", maintain_order=True)
    )
    found = again.filter(~pl.col("is_held_out")).join(asked, on="asked", how="inner", maintain_order="left")
    group = pl.col("grouped").filter("is_held_out")  # on both sides only where the rows themselves say their side
    both = rows.filter(~pl.col("is_held_out") & pl.col("grouped").is_in(rows.select(group)["grouped"].implode()))
    held_out = rows.filter("is_held_out").select("grouped", other="row_id")
    firsts = held_out.unique("grouped", keep="first", maintain_order=True)
    tied = both.join(firsts, on="grouped", how="inner", maintain_order="left")
    asked = _pointing(found, "in_held_out", "has the request of held-out row {}")
    return pl.concat([asked, _pointing(tied, "in_held_out", "has the group of held-out row {}")])


def repeated_ids(rows: pl.DataFrame) -> pl.DataFrame:
    """Return every row whose `id` an earlier row has; null ids do not count, and without data.id there is no column."""
    if "id" not in rows.columns:
        return pl.DataFrame(schema=FINDING)
    first = pl.col("row_id").first().over("id")
    named = rows_repeating(rows.select("row_id", "id").drop_nulls("id"), "id")
    twins = named.with_columns(other=first).filter(pl.col("row_id") != pl.col("other"))
    return _pointing(twins, "duplicate_id", "has the same id as row {}")


def extra_keys(rows: pl.DataFrame) -> pl.DataFrame:
    """Return every row with a key (column `extra`) that most rows of its file lack."""
    detail = pl.format("has {}, which most rows of its file lack", "extra")
    return rows.drop_nulls("extra").select("row_id", reason=pl.lit("extra_key"), detail=detail).select(list(FINDING))


def _pointing(rows: pl.DataFrame, reason: str, detail: str) -> pl.DataFrame:
    return rows.select("row_id", reason=pl.lit(reason), detail=pl.format(detail, "other")).select(list(FINDING))
