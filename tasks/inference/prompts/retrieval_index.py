"""The train rows and passages that prompts may show, read from a sealed data artifact."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import polars

from schemas.rows import with_optional
from tasks.inference.prompts.encoding import INDEX
from tasks.inference.prompts.passages import Passage, cut
from tasks.inference.prompts.prompt_builder import Example, PromptBuilder, PromptContext, Request


@dataclass(frozen=True)
class TrainRow(Example):
    """A row of the train split; no others are ever shown."""

    row_id: int
    group: str


def read_train(data: Path) -> list[TrainRow]:
    """Return the train rows in the order of their ids."""
    train = with_optional(polars.read_parquet(data / "train.parquet")).sort("row_id")
    rows = train.select("prompt", "history", "tools", "completion", "row_id", "group").iter_rows()
    return [
        TrainRow(Request(prompt, tuple(history), tools), completion, row_id, group)
        for prompt, history, tools, completion, row_id, group in rows
    ]


def read_passages(data: Path, words: int) -> list[Passage]:
    """Return the corpus cut into passages of at most `words` words, in the order of its documents."""
    corpus = polars.read_parquet(data / "corpus.parquet")
    return [
        passage
        for document, text in corpus.select("document", "text").iter_rows()
        for passage in cut(document, text, words)
    ]


def with_retrieved(rows: polars.DataFrame, context: PromptContext) -> polars.DataFrame:
    """Return rows whose prompt or history shows what the arm tuned_retrieval would show for them; of train rows, none
    of the row's own group, which no held-out row ever sees either.
    """
    builder, places = PromptBuilder("", context), dict[str, list[int]]()
    for place, example in enumerate(context.examples):
        if isinstance(example, TrainRow):
            places.setdefault(example.group, []).append(place)
    asked = []
    for prompt, history, group in rows.select("prompt", "history", "group").iter_rows():
        request = Request(prompt, tuple(history))
        asked.append(builder.asked(request, builder.nearest(request, places.get(group, ()))))
    return rows.with_columns(
        prompt=polars.Series([one.prompt for one in asked], dtype=polars.String),
        history=polars.Series([list(one.history) for one in asked], dtype=polars.List(polars.String)),
    )


def retrieved_from(
    data: Path, top_k: int, passage_words: int | None, language: str = "en", search: str = "bm25"
) -> PromptContext:
    """Return what a retrieval arm searches: passages of `passage_words` words, or train rows where that is None (a task
    without documents). `language` and `search` are as in tasks.inference.prompts.search.Search; vectors are read from
    the data.
    """
    how = PromptContext(top_k=top_k, language=language, search=search, index=data / INDEX)
    if passage_words is not None:
        return replace(how, passages=tuple(read_passages(data, passage_words)))
    return replace(how, examples=tuple(read_train(data)))
