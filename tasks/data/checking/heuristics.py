"""Quality heuristics: rows that can be read but hardly teach. Each looks at one column and has its own reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import polars as pl

from tasks.data.checking.sieve import FINDING
from tasks.data.text.normalisation import NON_ASCII, normalised

TEXTS = ("history", "prompt", "completion")
LONG = 30  # words from which on an answer is expected to end with punctuation

# "No input", "< noinput >", "`<noinput>`", "N/A", "[none]": what people write when there is no input.
PLACEHOLDER = (
    r"(?i)^[\s<>`'\"(\[{*_-]*"
    r"(no[\s_-]*(input|context|text)|n/?\.?a\.?|nan|not applicable|none|null|nil|undefined|placeholder|lorem ipsum.*)"
    r"[\s<>`'\")\]}*_.!-]*$"
)
ADDRESS = r"(?i)^\s*<?(https?://|www\.)\S+>?\s*$"
# "as an AI engineer" does not match: the phrase has to refer to the speaker.
SPEAKS_AS_AI = (
    r"(?i)\b(as an? (artificial intelligence|AI|large language|language)( language)?( model| assistant| "
    r"chatbot)?\b(,| (I|my|that|and|which)\b)|"
    r"I('m| am) (just |only |merely )?an? (AI|artificial intelligence|(large )?language model)\b)"
)
REFUSAL = (
    r"(?i)^\s*(I('m| am) (very |so )?sorry,?\s+(but|I)|sorry,?\s+(but|I)|I apologi[sz]e,?\s+but|unfortunately, I "
    r"(cannot|can't|am (not able|unable))|"
    r"I('m| am) (not able|unable) to|I (cannot|can't|won't) "
    r"(provide|assist|help|fulfil|complete|answer|create|generate|write))"
)
# "{{name}}", "[CUSTOMER NAME]", "<INSERT DATE>", "[Your Company]", "TODO": what a template leaves where nobody filled
# it in. One word in brackets, such as "[EMAIL]", is what personal data was masked with.
UNFILLED = (
    r"\{\{\s*[A-Za-z_][\w .-]*\}\}|\[(?:[A-Z]+[ _])+(?:NAME|DATE|TIME|NUMBER|ADDRESS|EMAIL|PHONE|TITLE|HERE)\]|"
    r"<(?:INSERT|YOUR|ENTER|ADD)[ _][A-Z _]+>|\[(?:INSERT|YOUR|ENTER|Insert|Your|Enter)[ _][\w _]+\]|"
    r"^\s*(?:TODO|FIXME|TBD)\b|\bTODO: ?(?i:write|fill|add|insert|answer)\b|(?i:lorem ipsum)"
)
# How programs write that there is no value; "none" and "n/a" may be answers.
NULL_ANSWER = r"^\s*(null|NULL|nan|NaN|NAN|undefined|nil|#N/A|<NA>|NaT)\s*$"
ENDED = r"""[\p{P}\p{S}]\s*$"""


def suspicious_rows(rows: pl.DataFrame, is_text: bool, instruction: str) -> pl.DataFrame:
    """Return the findings of every heuristic; a row may have several.

    Args:
        rows: need row_id, history, prompt, completion, given (the input part of the request, or null) and system
            (the row's own system message, or null).
        is_text: the answer's format is free text; some heuristics make no sense for a label, JSON or SQL.
        instruction: the task's; a row's own system message has to say the same.
    """
    asked = pl.col("given").fill_null(pl.col("prompt"))
    heuristics: list[tuple[str, pl.Expr, str]] = [
        ("placeholder_input", asked.str.contains(PLACEHOLDER), "the input only says that there is none"),
        ("only_an_address", asked.str.contains(ADDRESS), "the input is only a web address, which no model can open"),
    ]
    if is_text:
        words = pl.col("completion").str.count_matches(r"\s+") + 1
        heuristics += [
            (
                "unfilled_placeholder",
                pl.col("completion").str.contains(UNFILLED),
                "the answer has a mark to be filled in",
            ),
            (
                "null_answer",
                pl.col("completion").str.contains(NULL_ANSWER),
                "the answer is a program's word for no value",
            ),
            ("speaks_as_ai", pl.col("completion").str.contains(SPEAKS_AS_AI), "the answer refers to itself as an AI"),
            ("refusal", pl.col("completion").str.contains(REFUSAL), "the answer begins like a refusal"),
            (
                "answer_cut_off",
                (words >= LONG) & ~pl.col("completion").str.contains(ENDED),
                "a long answer that ends without punctuation",
            ),
        ]
    found = [_found(rows, reason, broken, detail) for reason, broken, detail in heuristics]
    found += [_own_system_message(rows, instruction), damaged_encoding(rows)]
    return pl.concat([*found, _repeated_prompt(rows)] if is_text else found)


def _own_system_message(rows: pl.DataFrame, instruction: str) -> pl.DataFrame:
    with_one = rows.filter(pl.col("system").str.contains(r"\S"))
    other = with_one.filter(normalised(with_one["system"]) != normalised(pl.Series([instruction]))[0])
    detail = "its system message differs from task.instruction, which every arm is given"
    return _found(other, "own_system_message", pl.lit(True), detail)


def _repeated_prompt(rows: pl.DataFrame) -> pl.DataFrame:
    # Only texts of nearly equal length can be the same, which rules out most rows.
    near = rows.filter(
        (pl.col("prompt").str.len_bytes().cast(pl.Int64) - pl.col("completion").str.len_bytes().cast(pl.Int64)).abs()
        <= 20
    )
    same = near.filter(normalised(near["prompt"]) == normalised(near["completion"]))
    return _found(same, "answer_repeats_prompt", pl.lit(True), "the answer repeats the request")


def _found(rows: pl.DataFrame, reason: str, broken: pl.Expr, detail: str) -> pl.DataFrame:
    return (
        rows.filter(broken.fill_null(False))
        .select("row_id", reason=pl.lit(reason), detail=pl.lit(detail))
        .select(list(FINDING))
    )


def damaged_encoding(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with mojibake, such as "cafÃ©" or the replacement character, detected by ftfy."""
    from ftfy.badness import is_bad

    def is_damaged(text: str) -> bool:
        return "\ufffd" in text or is_bad(text)

    suspects = rows.with_columns(pl.col("history").list.join("\n")).filter(
        pl.any_horizontal(pl.col(column).str.contains(NON_ASCII) for column in TEXTS)
    )
    return pl.DataFrame(list(_damaged(suspects, is_damaged)), schema=FINDING, orient="row")


def _damaged(rows: pl.DataFrame, is_damaged: Callable[[str], bool]) -> Iterator[tuple[int, str, str]]:
    for row_id, *texts in rows.select("row_id", *TEXTS).iter_rows():
        for column, text in zip(TEXTS, texts, strict=True):
            if is_damaged(text):
                yield row_id, "damaged_encoding", f"{column} contains characters of a wrongly decoded text"
                break
