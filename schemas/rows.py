"""What a row has to be, as pandera models on polars frames; the name of a check is the reason code of a row that fails
it.

Validate collected frames only: on a LazyFrame pandera checks the schema and no row. A check whose result is null counts
as passed, so every check here says what a null is.

`history` holds the turns before the request, oldest first: a request, its answer, a request, its answer. It is empty
for a row of one turn.
"""

from __future__ import annotations

import pandera.polars as pa
import polars as pl
from pandera.polars import PolarsData

# Everything below space but tab, line feed and carriage return; delete; the C1 block; byte-order marks; the space of no
# width and its like, overrides and isolates of the writing direction, tag characters. Joiners stay, as emoji and
# some scripts are written with them, and so do the marks of direction that right-to-left texts need.
CONTROL_CHARACTERS = (
    "[\\x00-\\x08\\x0B\\x0C\\x0E-\\x1F\\x7F-\\x9F\\x{FEFF}\\x{FFFE}\\x{200B}\\x{2060}-\\x{2064}\\x{202A}-\\x{202E}"
    "\\x{2066}-\\x{2069}\\x{E0000}-\\x{E007F}]"
)
# A character that is seen: neither white space nor of no width.
VISIBLE = "[^\\s\\p{Cf}\\x{034F}\\x{115F}\\x{1160}\\x{3164}\\x{FE00}-\\x{FE0F}]"


def _has_text(data: PolarsData) -> pl.LazyFrame:
    return data.lazyframe.select(pl.col(data.key).str.contains(VISIBLE).fill_null(False))


# Columns of train.parquet and held_out.parquet that are there where a row fills them.
OPTIONAL: dict[str, pl.DataType | type[pl.DataType]] = {
    "tools": pl.String,
    "trace": pl.String,
    "weight": pl.Float64,
    "rejected": pl.String,
}


def with_optional(rows: pl.DataFrame) -> pl.DataFrame:
    """Return kept rows with every optional column, null where the file has none."""
    return rows.with_columns(
        pl.lit(None, dtype=kind).alias(name) for name, kind in OPTIONAL.items() if name not in rows.columns
    )


class ReadRows(pa.DataFrameModel):
    """Rows as they were read: every one numbered, nothing else guaranteed yet."""

    row_id: int = pa.Field(unique=True, ge=1)
    history: pl.List = pa.Field(dtype_kwargs={"inner": pl.String})
    prompt: str = pa.Field(nullable=True)
    completion: str = pa.Field(nullable=True)
    group: str = pa.Field(nullable=True)

    @pa.check("prompt", name="empty_prompt")
    def prompt_has_text(cls, data: PolarsData) -> pl.LazyFrame:
        """A request has at least one visible character."""
        return _has_text(data)

    @pa.check("completion", name="empty_answer")
    def completion_has_text(cls, data: PolarsData) -> pl.LazyFrame:
        """An answer has at least one visible character."""
        return _has_text(data)

    @pa.check("history", name="empty_turn")
    def turns_have_text(cls, data: PolarsData) -> pl.LazyFrame:
        """Every earlier turn has at least one visible character."""
        seen = pl.element().str.contains(VISIBLE).fill_null(False)
        return data.lazyframe.select(pl.col(data.key).list.eval(seen).list.all())

    @pa.check("group", name="missing_group")
    def group_has_text(cls, data: PolarsData) -> pl.LazyFrame:
        """A row without a group could be on either side of the split."""
        return _has_text(data)

    @pa.check("prompt", "completion", name="control_characters")
    def texts_can_be_shown(cls, data: PolarsData) -> pl.LazyFrame:
        """Neither a request nor an answer contains a NUL byte or another control character."""
        return data.lazyframe.select((~pl.col(data.key).str.contains(CONTROL_CHARACTERS)).fill_null(True))

    @pa.check("history", name="control_characters")
    def turns_can_be_shown(cls, data: PolarsData) -> pl.LazyFrame:
        """No earlier turn contains a NUL byte or another control character."""
        faulty = pl.element().str.contains(CONTROL_CHARACTERS).fill_null(False)
        return data.lazyframe.select(~pl.col(data.key).list.eval(faulty).list.any())


class KeptRows(pa.DataFrameModel):
    """Rows of train.parquet and held_out.parquet: what every later stage may rely on.

    `tools` is the JSON list of a row's tools (tasks/inference/prompts/tool_calls.py), `trace` the reasoning that is
    learned before its answer, `weight` how much the answer's tokens count (1 where it is null), `rejected` an answer
    that the completion is to be preferred to.
    """

    class Config:
        """Exactly these columns, in this order."""

        strict = True
        ordered = True

    row_id: int = pa.Field(unique=True, ge=1)
    history: pl.List = pa.Field(dtype_kwargs={"inner": pl.String})
    prompt: str
    completion: str
    group: str
    tools: str | None = pa.Field(nullable=True)
    trace: str | None = pa.Field(nullable=True)
    weight: float | None = pa.Field(nullable=True)
    rejected: str | None = pa.Field(nullable=True)

    @pa.check("prompt", "completion", "group", name="has_text")
    def has_text(cls, data: PolarsData) -> pl.LazyFrame:
        """No text is empty."""
        return _has_text(data)
