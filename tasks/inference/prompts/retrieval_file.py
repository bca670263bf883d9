"""What a registered version retrieves from: one JSON Lines file beside the adapter, as it may answer without rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from schemas.errors import ArtifactBroken
from tasks.inference.prompts.encoding import INDEX
from tasks.inference.prompts.passages import Passage
from tasks.inference.prompts.prompt_builder import Example, PromptContext, Request

FILE = "retrieved.jsonl"
# Every process that loads a version indexes the file first: about 0.35 s and 10 MB of memory per MiB, measured on one
# core.
MOST_MEBIBYTES = 64
MEBIBYTE = 2**20


def serialised(context: PromptContext) -> bytes:
    """Return the passages or train rows as JSON Lines; a row's number and group are left out.

    Another language than English stands in the first line, and where vectors are searched the artifact that has them
    with their encoder: files of before there was a choice have no such line.
    """
    return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in _lines(context))


def _lines(context: PromptContext) -> Iterator[dict[str, object]]:
    how: dict[str, object] = {"language": context.language} if context.language != "en" else {}
    if context.index is not None and context.search != "bm25":
        how |= {"search": context.search, "index": context.index.parent.name}
    if how:
        yield how
    for passage in context.passages:
        yield {name: value for name, value in asdict(passage).items() if value or name in ("document", "text")}
    for example in context.examples:
        tools = {} if example.request.tools is None else {"tools": example.request.tools}
        yield {
            "history": list(example.request.history),
            "prompt": example.request.prompt,
            "completion": example.completion,
            **tools,
        }


def deserialised(folder: Path, top_k: int, digest: str) -> PromptContext:
    """Return what a version in `folder` retrieves from; `digest` is the sha256 of its file. The folder of an index is
    named by its artifact only; the caller has to find it.

    Raises:
        ArtifactBroken: the file is missing, or is not the one that was registered.
    """
    path = folder / FILE
    content = path.read_bytes() if path.exists() else b""
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        state = f"has digest {found[:12]}, not {digest[:12]}" if path.exists() else "is missing"
        raise ArtifactBroken(
            f"{FILE}, which this version retrieves from, {state}: its answers would differ from the measured ones. "
            "Register the adapter again."
        )
    lines = [json.loads(line) for line in content.splitlines()]
    passages = tuple(Passage(**line) for line in lines if "text" in line)
    examples = tuple(
        Example(Request(line["prompt"], tuple(line["history"]), line.get("tools")), line["completion"])
        for line in lines
        if "prompt" in line
    )
    how = lines[0] if lines and not {"text", "prompt"} & lines[0].keys() else {}
    index = Path(how["index"]) / INDEX if "index" in how else None
    searched = how.get("language", "en"), how.get("search", "bm25"), index
    return PromptContext((), passages, examples, top_k, *searched)


def in_words(context: PromptContext) -> str:
    """Return how many passages or train rows are retrieved from, such as "12 passages"."""
    count, one = (len(context.passages), "passage") if context.passages else (len(context.examples), "train row")
    return f"{count:,} {one}{'' if count == 1 else 's'}"


def why_too_large(context: PromptContext) -> str | None:
    """Return in words why this is too large for a registered version, or None if it is not."""
    size = len(serialised(context)) / MEBIBYTE
    if size <= MOST_MEBIBYTES:
        return None
    return f"{in_words(context)} take up {size:.1f} MiB, and a registered version carries at most {MOST_MEBIBYTES} MiB"
