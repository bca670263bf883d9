"""What a registered version carries to retrieve from: one file of JSON lines beside the adapter, so that it answers
where the rows are not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from schemas.errors import ArtifactBroken
from tasks.inference.prompts.passages import Passage
from tasks.inference.prompts.prompt_builder import Example, PromptContext, Request

FILE = "retrieved.jsonl"
# Every process that loads a version indexes the file first: about 0.35 s and 10 MB of memory for each MiB of it,
# measured on one core.
MOST_MEBIBYTES = 64
MEBIBYTE = 2**20


def serialised(shown: PromptContext) -> bytes:
    """Return what is retrieved from, one passage or train row a line; a row's number and group stay behind."""
    return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in _lines(shown))


def _lines(shown: PromptContext) -> Iterator[dict[str, object]]:
    for passage in shown.passages:
        yield {"document": passage.document, "text": passage.text}
    for example in shown.examples:
        yield {
            "history": list(example.request.history),
            "prompt": example.request.prompt,
            "completion": example.completion,
        }


def deserialised(folder: Path, top_k: int, digest: str) -> PromptContext:
    """Return what a version in `folder` retrieves from; `digest` is the sha256 of its file.

    Raises:
        ArtifactBroken: the file is missing, or is not the one that was registered.
    """
    path = folder / FILE
    content = path.read_bytes() if path.exists() else b""
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        state = f"has digest {found[:12]}, not {digest[:12]}" if path.exists() else "is missing"
        raise ArtifactBroken(
            f"{FILE}, which this version retrieves from, {state}: its answers would not be the measured ones. "
            "Register the adapter again."
        )
    lines = [json.loads(line) for line in content.splitlines()]
    passages = tuple(Passage(line["document"], line["text"]) for line in lines if "text" in line)
    examples = tuple(
        Example(Request(line["prompt"], tuple(line["history"])), line["completion"])
        for line in lines
        if "prompt" in line
    )
    return PromptContext(passages=passages, examples=examples, top_k=top_k)


def in_words(shown: PromptContext) -> str:
    """Return what is retrieved from, counted."""
    count, one = (len(shown.passages), "passage") if shown.passages else (len(shown.examples), "train row")
    return f"{count:,} {one}{'' if count == 1 else 's'}"


def why_too_large(shown: PromptContext) -> str | None:
    """Return in words why a version cannot carry this, or None where it can."""
    size = len(serialised(shown)) / MEBIBYTE
    return (
        None
        if size <= MOST_MEBIBYTES
        else f"{in_words(shown)} have {size:.1f} MiB, and a registered version carries {MOST_MEBIBYTES} MiB at most"
    )
