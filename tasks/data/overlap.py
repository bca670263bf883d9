"""Rows that say the same: repeats, conflicts, and train rows whose request stands in the held-out set."""

from __future__ import annotations

import polars as pl

from tasks.data.sieve import FINDING
from tasks.data.speech import evened, lettered, spoken


def with_keys(rows: pl.DataFrame) -> pl.DataFrame:
    """Add 64-bit fingerprints: `asked` of the spoken request (column `said`), `lettered` of it without marks, `answered` of the answer."""
    return rows.with_columns(asked=rows["said"].hash(seed=1), lettered=lettered(rows["said"]).hash(seed=1), answered=evened(rows["completion"]).hash(seed=2))


def exact_duplicates(rows: pl.DataFrame) -> pl.DataFrame:
    """Return every row that gives an earlier one's answer to the same request, marks aside: with one answer they cannot have meant two things."""
    first = pl.col("row_id").first().over("lettered", "answered")
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


def near_rows(rows: pl.DataFrame, pairs: pl.DataFrame, held_out: pl.DataFrame, is_choice: bool) -> pl.DataFrame:
    """Return the findings that near-duplicate requests give.

    A train row that is like a held-out row is near_held_out; of two rows on one side the later is a near_duplicate; among choices, one
    whose twin has another label is a label_doubt too.

    Args:
        rows: need row_id, answered.
        pairs: positions in `rows` (tasks.data.nearness.near_pairs).
        held_out: the held-out rows.
        is_choice: the answer is a label.
    """
    side = rows["row_id"].is_in(held_out["row_id"].implode())
    first, second = pairs["first"], pairs["second"]
    both = pl.DataFrame(
        {
            "one": rows["row_id"].gather(first),
            "other": rows["row_id"].gather(second),
            "one_held": side.gather(first),
            "other_held": side.gather(second),
            "differs": rows["answered"].gather(first) != rows["answered"].gather(second),
            "alike": (pairs["similarity"] * 100).floor().cast(pl.Int64),
        }
    )
    crossing, within = both.filter(pl.col("one_held") != pl.col("other_held")), both.filter(pl.col("one_held") == pl.col("other_held"))
    train = crossing.select(row_id=pl.when("one_held").then("other").otherwise("one"), twin=pl.when("one_held").then("one").otherwise("other"), alike="alike")
    parts = [_alike(train, "near_held_out", "{}% like held-out row {}"), _alike(_later(within), "near_duplicate", "{}% like row {}")]
    if is_choice:
        parts.append(_alike(_later(both.filter("differs")), "label_doubt", "{}% like row {}, which has another label"))
    return pl.concat(parts)


def _later(pairs: pl.DataFrame) -> pl.DataFrame:
    return pairs.select(row_id="other", twin="one", alike="alike")


def _alike(found: pl.DataFrame, reason: str, detail: str) -> pl.DataFrame:
    best = found.sort(["row_id", "alike", "twin"], descending=[False, True, False]).unique("row_id", keep="first", maintain_order=True)
    return best.select("row_id", reason=pl.lit(reason), detail=pl.format(detail, "alike", "twin")).select(list(FINDING))


def repeated_ids(rows: pl.DataFrame) -> pl.DataFrame:
    """Return every row whose id (column `id`, null where it has none) an earlier row has."""
    first = pl.col("row_id").first().over("id")
    return _pointing(rows.drop_nulls("id").with_columns(other=first).filter(pl.col("row_id") != pl.col("other")), "duplicate_id", "has the id of row {}")


def extra_keys(rows: pl.DataFrame) -> pl.DataFrame:
    """Return every row with a key (column `extra`) that most rows of its file do not have."""
    detail = pl.format("has {}, which most rows of its file do not have", "extra")
    return rows.drop_nulls("extra").select("row_id", reason=pl.lit("extra_key"), detail=detail).select(list(FINDING))


def answers_in(corpus: pl.DataFrame, held_out: pl.DataFrame) -> int:
    """Return how many held-out rows have an answer that stands word for word in a document: what retrieval may find, and training must not see."""
    documents = "\n".join(f" {text} " for text in spoken(corpus["text"]))
    answers = spoken(held_out["completion"]).alias("said").to_frame().group_by("said").len()
    return sum(count for said, count in answers.iter_rows() if f" {said} " in documents)


def _pointing(rows: pl.DataFrame, reason: str, detail: str) -> pl.DataFrame:
    return rows.select("row_id", reason=pl.lit(reason), detail=pl.format(detail, "other")).select(list(FINDING))
