"""Documents cut into passages, by their structure: never across a heading once a passage is half full, else between
paragraphs, else between sentences, and within a sentence only where it is longer than a passage.

In a document's text a heading is a line that begins with #, as in Markdown, and a form feed stands between two pages
(tasks/data/reading/documents.py).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from tasks.inference.prompts.words import UNSPACED

WORD = re.compile(rf"[{UNSPACED}]|[^\s{UNSPACED}]+")
BREAK = re.compile(r"\n[^\S\n]*\n\s*|\s*\f\s*|\n(?=#{1,6} )")
HEADING = re.compile(r"#{1,6} +([^\n]+)")
SENTENCE = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|(?<=[\u3002\uff01\uff1f])|\n")


@dataclass(frozen=True)
class Passage:
    """A stretch of a document, and where it stands: the heading above it, its page (from 1; 0 where the document has
    none), and its first and last but one character.
    """

    document: str
    text: str
    heading: str = ""
    page: int = 0
    start: int = 0
    end: int = 0


def cut(document: str, text: str, words: int) -> list[Passage]:
    """Cut a document into passages of at most `words` words."""
    pages = [match.start() for match in re.finditer("\f", text)]
    spans: list[list[int]] = []
    titles: list[str] = []
    title, size = "", 0
    for start, end in _pieces(text, words):
        length = len(WORD.findall(text, start, end))
        named = HEADING.match(text, start, end)
        title = named.group(1).strip() if named else title
        if not spans or size + length > words or (named and size > words / 2):
            spans.append([start, end])
            titles.append(title)
            size = 0
        spans[-1][1] = end
        size += length
    return [
        Passage(
            document,
            text[start:end].replace("\f", "\n"),
            heading,
            bisect_right(pages, start) + 1 if pages else 0,
            start,
            end,
        )
        for (start, end), heading in zip(spans, titles, strict=True)
    ]


def _pieces(text: str, words: int) -> Iterator[tuple[int, int]]:
    """Yield the spans that a passage holds whole: paragraphs, each below the headings right above it, or their
    sentences, or parts of these.
    """
    kept = None  # where the headings right above a paragraph begin
    for start, end in _between(BREAK, text, 0, len(text)):
        begin = start if kept is None else kept
        named = HEADING.match(text, start, end)
        if named and named.end() == end:
            kept = begin
            continue
        kept = None
        yield from _fitting(text, begin, end, words)
    if kept is not None:
        yield from _fitting(text, kept, len(text.rstrip()), words)


def _fitting(text: str, start: int, end: int, words: int) -> Iterator[tuple[int, int]]:
    if len(WORD.findall(text, start, end)) <= words:
        yield start, end
        return
    for begin, stop in _between(SENTENCE, text, start, end):
        spans = [match.span() for match in WORD.finditer(text, begin, stop)]
        for first in range(0, len(spans), words):
            part = spans[first : first + words]
            yield part[0][0], part[-1][1]


def _between(mark: re.Pattern[str], text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield what stands between the matches, without the space around it and without what is empty."""
    for stop in (*(match.end() for match in mark.finditer(text, start, end)), end):
        inner = text[start:stop]
        if inner.strip():
            yield start + len(inner) - len(inner.lstrip()), start + len(inner.rstrip())
        start = stop
