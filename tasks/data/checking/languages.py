"""Rows in another language than the rest, detected by CLD2: a model tuned on a mix may answer in the wrong one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, get_args

import polars as pl

from schemas.languages import IndexLanguage
from tasks.data.checking.sieve import FINDING

SHORT = 30  # bytes of letters below which no language is detected: names and code look like any
SAMPLED = 2_000  # texts that tell the language of them all
READ = 600  # characters of a text that are examined
SHARE = 80  # percent of a text that has to be in one language
MAIN = 2 / 3  # share of texts that makes a language the main one; without a main language no row is reported


def with_languages(rows: pl.DataFrame, is_text: bool) -> pl.DataFrame:
    """Add prompt_language and completion_language, such as "de"; null where undetected or no free text."""
    answers = languages_of(rows["completion"]) if is_text else pl.Series([None] * rows.height, dtype=pl.String)
    return rows.with_columns(
        languages_of(rows["prompt"]).alias("prompt_language"), answers.alias("completion_language")
    )


def languages_of(texts: pl.Series) -> pl.Series:
    """Return the language of each text that is long enough and reliably in one language."""
    import pycld2

    def detect(text: str | None) -> Any:
        if not text:
            return None
        try:
            is_sure, size, ((_, code, share, _), *_) = pycld2.detect(text, isPlainText=True)
        except pycld2.error:  # invalid characters
            return None
        return code if is_sure and size >= SHORT and share >= SHARE and code != "un" else None

    return pl.Series([detect(text) for text in texts.str.slice(0, READ)], dtype=pl.String)


def index_language(texts: pl.Series) -> str:
    """Return what a search index over these texts is built for: their main language where it has a stemmer,
    "characters" for another one or several, "none" where no language is detected.
    """
    known = languages_of(texts.gather_every(max(1, len(texts) // SAMPLED))).drop_nulls()
    if not len(known):  # short ones may tell together
        known = languages_of(pl.Series([" ".join(texts.head(SAMPLED))])).drop_nulls()
    if not len(known):
        return "none"
    code, count = next(known.value_counts(sort=True).iter_rows())
    return code if count >= MAIN * len(known) and code in get_args(IndexLanguage) else "characters"


def other_languages(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows whose request or answer is not in the main language; needs row_id and `with_languages`' columns."""
    return pl.DataFrame(list(_others(rows)), schema=FINDING, orient="row")


def _others(rows: pl.DataFrame) -> Iterator[tuple[int, str, str]]:
    for column in ("prompt", "completion"):
        counts = language_counts([rows], column)
        main = next(iter(counts), None)
        if main is not None and counts[main] >= MAIN * sum(counts.values()):
            other = rows.filter(pl.col(f"{column}_language") != main).select("row_id", f"{column}_language")
            yield from (
                (row, "other_language", f"the {column} is in {code}, most rows are in {main}")
                for row, code in other.iter_rows()
            )


def language_counts(sides: Iterable[pl.DataFrame], column: str) -> dict[str, int]:
    """Return language -> rows of a column (prompt or completion), the most frequent first."""
    known = pl.concat([side.select(code=pl.col(f"{column}_language")).drop_nulls() for side in sides])
    return dict(
        known.group_by("code")
        .len()
        .with_columns(pl.col("code").cast(pl.String))
        .sort(["len", "code"], descending=[True, False])
        .iter_rows()
    )
