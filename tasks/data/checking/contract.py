"""The checks of each row by itself: the pandera contract of the columns, and the contract of the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pandera.polars as pa
import polars as pl

from schemas.rows import ReadRows
from tasks.answers.contract import TOOLS, Check
from tasks.data.checking.sieve import FINDING, Sieve
from tasks.data.layouts.calls import tools_of
from tasks.inference.prompts.tool_calls import calls_of

# A row that fails several checks is listed under the first of these.
ORDER = ("empty_prompt", "empty_answer", "empty_turn", "missing_group", "control_characters")
DETAILS = {
    "empty_prompt": "only white space",
    "empty_answer": "only white space",
    "empty_turn": "an earlier turn is only white space",
    "missing_group": "the group is null or empty",
    "control_characters": "{column} contains a control character such as NUL",
}


def broken_rows(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the findings of schemas.rows.ReadRows by check name; needs row_id, history, prompt, completion, group."""
    frame = rows.select("row_id", "history", "prompt", "completion", "group")
    try:
        ReadRows.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as fault:
        return _findings(frame, fault.failure_cases)
    return pl.DataFrame(schema=FINDING)


def _findings(frame: pl.DataFrame, cases: pl.DataFrame) -> pl.DataFrame:
    unknown = cases.filter(~pl.col("check").is_in(ORDER))
    if unknown.height:
        raise ValueError(f"the frame does not hold rows as they are read: {unknown['check'].unique().to_list()}")
    rank = pl.col("check").replace_strict({name: place for place, name in enumerate(ORDER)}, return_dtype=pl.Int8)
    detail = (
        pl.col("check")
        .replace_strict(DETAILS, return_dtype=pl.String)
        .str.replace("{column}", pl.col("column"), literal=True)
    )
    first = (
        cases.with_columns(rank=rank, detail=detail)
        .sort("index", "rank", "column")
        .unique("index", keep="first", maintain_order=True)
    )
    return first.select(row_id=frame["row_id"].gather(first["index"]), reason="check", detail="detail")


def broken_answers(
    rows: pl.DataFrame, check: Check, advance: Callable[[int, int], None] = lambda done, total: None
) -> pl.DataFrame:
    """Return the contract's findings; equal answers are checked once. `advance` gets (answers checked, all)."""
    answers = rows["completion"].unique(maintain_order=True)
    breaches = list(_breaches(answers, check, advance))
    if not breaches:
        return pl.DataFrame(schema=FINDING)
    found = pl.DataFrame(
        breaches, schema={"completion": pl.String, "reason": pl.String, "detail": pl.String}, orient="row"
    )
    return (
        rows.select("row_id", "completion")
        .join(found, on="completion", how="inner", maintain_order="left")
        .select(list(FINDING))
    )


def with_tools(rows: pl.DataFrame, folder: Path) -> pl.DataFrame:
    """Return the rows with the task's tools, which are in `folder`, wherever they have none of their own."""
    offered = tools_of((folder / TOOLS).read_text(encoding="utf-8"))
    is_own = pl.col("tools").is_not_null() & (pl.col("tools") != "[]")
    return rows.with_columns(tools=pl.when(is_own).then("tools").otherwise(pl.lit(offered)))


def unasked_calls(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows whose answer calls a tool, for a task whose answers do not."""
    with_tools = rows.filter(pl.col("tools").is_not_null())
    calls = [bool(calls_of(answer)[0]) for answer in with_tools["completion"].fill_null("")]
    detail = 'the answer calls a tool, and task.answer.format is not "tool_call"'
    return with_tools.filter(pl.Series(calls, dtype=pl.Boolean)).select(
        "row_id", reason=pl.lit("tools"), detail=pl.lit(detail)
    )


def further_answers(sieve: Sieve, check: Check) -> pl.DataFrame:
    """Return row_id and `also` of the rows with more than one right answer; those that break the contract are left out,
    and so are all of a row in which something was masked.
    """
    masked = [found.filter(action="mask").select("row_id") for found in sieve.found]
    rows = sieve.rows.select("row_id", "also").filter(pl.col("also").list.len() > 0)
    rows = rows.join(
        pl.concat([rows.select("row_id").clear(), *masked]), on="row_id", how="anti", maintain_order="left"
    )
    sound = [(row, [answer for answer in also if check(answer) is None]) for row, also in rows.iter_rows()]
    return pl.DataFrame(sound, schema=rows.schema, orient="row").filter(pl.col("also").list.len() > 0)


def _breaches(answers: pl.Series, check: Check, advance: Callable[[int, int], None]) -> Iterator[tuple[str, str, str]]:
    for done, answer in enumerate(answers, 1):
        breach = check(answer)
        if breach is not None:
            yield answer, breach.reason, breach.detail
        if done % 1000 == 0 or done == len(answers):
            advance(done, len(answers))
