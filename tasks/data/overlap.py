"""Rows that say the same: repeats, conflicts, and train rows whose request stands in the held-out set."""

from __future__ import annotations

import polars as pl

from tasks.data.sieve import FINDING

SENTENCE = r"[.,;:!?…]+"
QUOTES = "[\"'`´‘’“”„]+"
# What is dropped or becomes a space, in this order; the last twice, as "a-b-c" has two joints that share a letter. Only marks that end,
# frame or join words: "top-up?" is "top up", but "3 - 4" is not "3 + 4", "x != y" not "x = y", and "£1" not "$1".
EVENED = (
    (rf"{SENTENCE}(\s|$)", "$1"),
    (rf"{QUOTES}(\s|$)", "$1"),
    (rf"{SENTENCE}(\s|$)", "$1"),
    (rf"(^|\s)(?:{QUOTES}|[¿¡]+)", "$1"),
    *[(r"(\p{L})(?:[.,;:!?…'’/–—-]+|\s[-–—]+\s)(\p{L})", "$1 $2")] * 2,
    (r"\s+", " "),
)


def spoken(text: pl.Expr) -> pl.Expr:
    """Return a text as it would be said aloud: lower case, no marks that only end, frame or join words; itself where nothing else is left."""
    plain = bare = text.str.normalize("NFKC").str.to_lowercase()
    for pattern, instead in EVENED:
        bare = bare.str.replace_all(pattern, instead)
    bare = bare.str.strip_chars()
    return pl.when(bare == "").then(plain.str.strip_chars()).otherwise(bare)


def with_keys(rows: pl.DataFrame) -> pl.DataFrame:
    """Add `asked` and `answered`, 64-bit fingerprints of the spoken request and of the answer with its white space evened out."""
    answered = pl.col("completion").str.replace_all(r"\s+", " ").str.strip_chars()
    return rows.with_columns(asked=spoken(pl.col("prompt")).hash(seed=1), answered=answered.hash(seed=2))


def exact_duplicates(rows: pl.DataFrame) -> pl.DataFrame:
    """Return every row that repeats the request and the answer of an earlier one."""
    first = pl.col("row_id").first().over("asked", "answered")
    return _pointing(rows.with_columns(other=first).filter(pl.col("row_id") != pl.col("other")), "exact_duplicate", "repeats row {}")


def conflicting_answers(rows: pl.DataFrame) -> pl.DataFrame:
    """Return every row whose request has another answer elsewhere: which one is right cannot be told."""
    first, last = pl.col("row_id").first().over("asked"), pl.col("row_id").last().over("asked")
    several = pl.col("answered").n_unique().over("asked") > 1
    other = pl.when(pl.col("row_id") == first).then(last).otherwise(first)
    return _pointing(rows.filter(several).with_columns(other=other), "conflicting_answers", "answers the request of row {} otherwise")


def in_held_out(train: pl.DataFrame, held_out: pl.DataFrame) -> pl.DataFrame:
    """Return every train row whose request is also asked of the model when it is measured."""
    asked = held_out.select("asked", other="row_id").unique("asked", keep="first", maintain_order=True)
    return _pointing(train.join(asked, on="asked", how="inner", maintain_order="left"), "in_held_out", "asks what held-out row {} asks")


def _pointing(rows: pl.DataFrame, reason: str, detail: str) -> pl.DataFrame:
    return rows.select("row_id", reason=pl.lit(reason), detail=pl.format(detail, "other")).select(list(FINDING))
