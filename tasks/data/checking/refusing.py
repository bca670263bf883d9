"""Whether a dataset is refused because of the rows that were taken out, and the message that says why."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from schemas.errors import DatasetRefused
from tasks.data.checking.sieve import Sieve, tally

if TYPE_CHECKING:
    from schemas.sources import SourceFile
    from tasks.reuse.stage import WorkDirectory

REFUSED_ROWS = "refused-rows"  # the table's name on the flow run's page
TABLED = 50


def refuse_if_above(sieve: Sieve, name: str, refuse_above: float, workdir: WorkDirectory) -> None:
    """Refuse the dataset if more rows were refused than the config allows, or none is left.

    Args:
        sieve: what was found.
        name: of the dataset, for messages.
        refuse_above: the share of refused rows that is still accepted.
        workdir: refused.parquet is written into its folder, which is kept, and the first rows are shown.

    Raises:
        DatasetRefused: with counts and row numbers per reason, and the path of refused.parquet.
    """
    refused, counted = sieve.refused, sieve.counted
    if sieve.rows.height and counted <= refuse_above * sieve.read:
        return
    path = workdir.folder / "refused.parquet"
    refused.write_parquet(path)
    shown = refused if not sieve.rows.height else refused.filter(pl.col("action") == "refuse")
    workdir.reporter.table(
        REFUSED_ROWS,
        first_rows(shown),
        f"The first of {shown.height} rows for which the dataset was refused, and how to fix them",
    )
    step = "Fix them." if not sieve.rows.height else f"Fix them, or raise data.refuse_above ({refuse_above:g})."
    raise DatasetRefused(
        f"Dataset {name} refused: {shown.height} of {sieve.read} rows. {by_reason(shown)}.\n  The rows and their "
        f"reasons: {path}. {step}"
    )


def first_rows(refused: pl.DataFrame) -> list[dict[str, Any]]:
    """Return the first TABLED rows of a table of refused rows, for display."""
    return (
        refused.select("row_id", "file", "line", "reason", "action", "detail", "mend", "prompt").head(TABLED).to_dicts()
    )


def by_reason(table: pl.DataFrame) -> str:
    """Return "answer_does_not_run 5 (rows 12, 40, 77, +2); in_held_out 9 (rows 101, 230, 231, +6)"."""
    return "; ".join(
        f"{reason} {count} ({row_numbers(table.filter(pl.col('reason') == reason)['row_id'])})"
        for reason, count in tally(table).items()
    )


def row_numbers(numbers: Iterable[int], most: int = 3) -> str:
    """Return "rows 12, 40, 77, +2"."""
    iterator = iter(numbers)
    first = list(islice(iterator, most))
    rest = sum(1 for _ in iterator)
    return f"row{'s' if len(first) > 1 else ''} {', '.join(map(str, first))}" + (f", +{rest}" if rest else "")


def dataset_name(files: Iterable[SourceFile]) -> str:
    """Return the name of a dataset: its first file's name without suffix, and four digits of the digest."""
    first, *more = files
    stem = Path(first.path).name.removesuffix(first.suffix)
    return f"{stem} {first.digest[:4]}" + (f" (+{len(more)} files)" if more else "")
