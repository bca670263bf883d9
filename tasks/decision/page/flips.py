"""Row by row: what a change won and lost, as a table for programs and as the rows that the report's browser shows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from schemas.reports import Verdict
from tasks.pages.page import LONGEST_TEXT, cut
from tasks.statistics.families import SAME

ANSWER = ("output", "score", "is_valid")
KINDS = ("lost", "won", "changed", "same")
MOST_ROWS = 5000  # in the page; flips.parquet has all
MOST_CHARACTERS = 12_000_000  # of all texts in the page, so that it opens at once
FEWEST_CHARACTERS = 100  # of one text


def read_rows(held_out: Path, answers: Mapping[str, Path]) -> pl.DataFrame:
    """Return the held-out rows that have answers: row_id, group, prompt (with the turns before it), reference, and for
    each arm output, score and is_valid as `output.ARM`, ..., null where it did not answer the row.

    Args:
        held_out: held_out.parquet of the data artifact.
        answers: answers.parquet of each arm, by the arm's name.
    """
    turns = pl.concat_list("history", "prompt").list.join("\n\n")
    rows = pl.read_parquet(held_out).select("row_id", "group", prompt=turns, reference="completion")
    for arm, path in answers.items():
        own = pl.read_parquet(path, columns=["row_id", *ANSWER])
        rows = rows.join(own.rename({name: f"{name}.{arm}" for name in ANSWER}), "row_id", "left")
    return rows.filter(pl.any_horizontal(pl.col("^score\\..*$").is_not_null())).sort("row_id")


def pairs_of(verdict: Verdict) -> list[tuple[str, str]]:
    """Return the pairs of arms whose rows are compared: (best untrained, tuned) and (champion, challenger)."""
    pairs = [verdict.compared] if verdict.compared else []
    challenger = verdict.champion.challenger if verdict.champion else None
    return [*pairs, *([("champion", challenger)] if challenger else [])]


def flips_of(rows: pl.DataFrame, verdict: Verdict) -> pl.DataFrame:
    """Return the rows of every pair with their kind, lost ones first (schemas.artifacts.ReportArtifact)."""
    broken = {arm.arm for arm in verdict.arms if arm.breaks_contract}
    return pl.concat([_flips(rows, *pair, broken) for pair in pairs_of(verdict)]) if pairs_of(verdict) else _NONE


_NONE = pl.DataFrame(
    schema=dict.fromkeys(("before", "after"), pl.String)
    | {"row_id": pl.Int64, "group": pl.String, "kind": pl.String, "before_score": pl.Float64, "after_score": pl.Float64}
    | dict.fromkeys(("prompt", "reference", "before_output", "after_output"), pl.String)
)


def _flips(rows: pl.DataFrame, before: str, after: str, broken: set[str]) -> pl.DataFrame:
    # As in the gain: where the best untrained arm breaks the contract, answers that do so count as wrong.
    counts = pl.col(f"is_valid.{before}").cast(pl.Float64) if before in broken else 1.0
    found = rows.filter(pl.col(f"score.{before}").is_not_null(), pl.col(f"score.{after}").is_not_null()).select(
        "row_id",
        "group",
        "prompt",
        "reference",
        before=pl.lit(before),
        after=pl.lit(after),
        before_score=pl.col(f"score.{before}").cast(pl.Float64) * counts,
        after_score=pl.col(f"score.{after}").cast(pl.Float64),
        before_output=f"output.{before}",
        after_output=f"output.{after}",
    )
    rise, is_other = pl.col("after_score") - pl.col("before_score"), pl.col("before_output") != pl.col("after_output")
    kind = pl.when(rise < -SAME).then(0).when(rise > SAME).then(1).when(is_other).then(2).otherwise(3)
    named = kind.replace_strict(dict(enumerate(KINDS)), return_dtype=pl.String)
    return found.with_columns(kind=named, rank=kind).sort("rank", "row_id").select(_NONE.columns)


def browsed(rows: pl.DataFrame, flips: pl.DataFrame, arms: list[str]) -> str:
    """Return what the browser shows as JSON that can stand in a page: rows in the order of the first pair, texts cut so
    that the page opens at once.

    Shape: arms; rows: [row_id, group, prompt, reference, [[output, score, is_valid] or null, one an arm]]; pairs:
    [before, after, one letter of KINDS a row or "-"]; total: rows that there are.
    """
    pairs = flips.partition_by("before", "after", as_dict=True) if flips.height else {}
    kinds = {pair: dict(table.select("row_id", "kind").iter_rows()) for pair, table in pairs.items()}
    first = next(iter(kinds.values()), {})
    rank = [KINDS.index(first.get(row_id, "same")) for row_id in rows["row_id"]]
    shown = rows.with_columns(rank=pl.Series(rank, dtype=pl.Int64)).sort("rank", "row_id").head(MOST_ROWS)
    texts = max(1, shown.height * (2 + len(arms)))
    longest = max(FEWEST_CHARACTERS, min(LONGEST_TEXT, MOST_CHARACTERS // texts))
    found = {
        "arms": arms,
        "rows": [_row(row, arms, longest) for row in shown.iter_rows(named=True)],
        "pairs": [[*pair, "".join(of.get(row_id, "-")[0] for row_id in shown["row_id"])] for pair, of in kinds.items()],
        "total": rows.height,
    }
    # Inside a page nothing may look like a tag.
    return json.dumps(found, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _row(row: dict[str, Any], arms: list[str], longest: int) -> list[Any]:
    answers = [
        None
        if row[f"score.{arm}"] is None
        else [cut(row[f"output.{arm}"] or "", longest), round(row[f"score.{arm}"], 3), bool(row[f"is_valid.{arm}"])]
        for arm in arms
    ]
    return [row["row_id"], row["group"], cut(row["prompt"], longest), cut(row["reference"], longest), answers]
