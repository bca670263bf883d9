"""Where the reference answers stand: in what was retrieved, elsewhere in what is searched, or nowhere.

This goes by the answer's own words, so it is told for free text only, and a short answer such as "two" may also stand
in a passage that does not answer the request. Where train rows are retrieved, an answer of any kind stands in the rows
that have the same one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import polars as pl

from schemas.findings.advice import Recall
from tasks.inference.prompts.prompt_builder import PromptContext
from tasks.inference.prompts.words import spaced

AT_ONCE = 10_000  # documents
SCHEMA = {"shown": pl.Int64, "found": pl.Int64, "in_corpus": pl.Boolean}


def evidence_of(
    answers: Sequence[str], found: Sequence[Sequence[int]], context: PromptContext, corpus: Path | None
) -> pl.DataFrame:
    """Return one line per held-out row: how many texts were `shown`, the rank (from 1, the nearest) at which the
    reference answer was `found` in them, and whether it is `in_corpus`; null where that cannot be told.

    Args:
        answers: reference answers.
        found: for each row the places in the context of what was shown, the nearest last.
        context: what was searched; without `top_k` nothing was.
        corpus: documents to look for the answers in; None where there are none, or the answers are no free text.
    """
    wanted = [spaced(answer) for answer in answers]
    shown = [len(places) if context.top_k else None for places in found]
    ranks: list[int | None] = [None] * len(wanted)
    in_corpus: list[bool | None] = [None] * len(wanted)
    if context.examples:
        given = [spaced(example.completion) for example in context.examples]
        known = set(given)
        ranks = [_rank(given[place] == one for place in places) for one, places in zip(wanted, found, strict=True)]
        in_corpus = [one in known for one in wanted]
    elif corpus is not None:
        texts = {place: spaced(context.passages[place].text) for places in found for place in places}
        ranks = [
            _rank(_holds(texts[place], one) for place in places) for one, places in zip(wanted, found, strict=True)
        ]
        in_corpus = [rank is not None or one for rank, one in zip(ranks, _standing(wanted, corpus), strict=True)]
    return pl.DataFrame({"shown": shown, "found": ranks, "in_corpus": in_corpus}, schema=SCHEMA)


def recall_of(evidence: pl.DataFrame, top_k: int | None, search: str = "bm25") -> Recall | None:
    """Return what retrieval found over all rows, and what became of it; None for an arm that retrieves nothing.

    Args:
        evidence: the columns of `evidence_of`, and `score`.
        top_k: texts shown at most.
        search: how they were found.
    """
    if top_k is None:
        return None
    there = evidence.filter(pl.col("in_corpus"))
    is_told = evidence["in_corpus"].null_count() < evidence.height
    means = {
        "no_hit": (evidence["shown"] == 0).mean(),
        "recall": there["found"].is_not_null().mean(),
        "mrr": (1 / there["found"]).fill_null(0).mean(),
        "used": evidence.filter(pl.col("found").is_not_null())["score"].mean(),  # None where there is no row
    }
    return Recall.model_validate(
        {"top_k": top_k, "search": search, "in_corpus": there.height / evidence.height if is_told else None, **means}
    )


def _rank(holds: Iterable[bool]) -> int | None:
    return next((rank for rank, is_held in enumerate(reversed(list(holds)), start=1) if is_held), None)


def _holds(text: str, answer: str) -> bool:
    return bool(answer.strip()) and answer in text


def _standing(answers: Sequence[str], corpus: Path) -> list[bool]:
    """Tell for each answer whether a document contains it; all are looked for in one pass."""
    documents = pl.read_parquet(corpus, columns=["text"])["text"]
    patterns = sorted({answer for answer in answers if answer.strip()})
    standing: set[str] = set()
    for start in range(0, documents.len() if patterns else 0, AT_ONCE):
        texts = pl.Series([spaced(text) for text in documents[start : start + AT_ONCE]])
        standing.update(texts.str.extract_many(patterns, overlapping=True).explode().drop_nulls().unique())
    return [answer in standing for answer in answers]
