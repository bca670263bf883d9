"""The train rows and passages that prompts may show, read from a sealed data artifact."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars

from tasks.inference.prompts.passages import Passage, cut
from tasks.inference.prompts.prompt_builder import Example, PromptContext, Request


@dataclass(frozen=True)
class TrainRow(Example):
    """A row of the train split; no others are ever shown."""

    row_id: int
    group: str


def read_train(data: Path) -> list[TrainRow]:
    """Return the train rows in the order of their ids."""
    train = polars.read_parquet(data / "train.parquet").sort("row_id")
    rows = train.select("prompt", "history", "completion", "row_id", "group").iter_rows()
    return [
        TrainRow(Request(prompt, tuple(history)), completion, row_id, group)
        for prompt, history, completion, row_id, group in rows
    ]


def read_passages(data: Path, words: int) -> list[Passage]:
    """Return the corpus cut into passages of at most `words` words, in the order of its documents."""
    corpus = polars.read_parquet(data / "corpus.parquet")
    return [
        passage
        for document, text in corpus.select("document", "text").iter_rows()
        for passage in cut(document, text, words)
    ]


def retrieved_from(data: Path, top_k: int, passage_words: int | None, language: str = "en") -> PromptContext:
    """Return what a retrieval arm searches: passages of `passage_words` words, or train rows where that is None (a task
    without documents). `language` is that of the index, such as "de" (tasks.inference.prompts.search.Search).
    """
    if passage_words is not None:
        return PromptContext(passages=tuple(read_passages(data, passage_words)), top_k=top_k, language=language)
    return PromptContext(examples=tuple(read_train(data)), top_k=top_k, language=language)
