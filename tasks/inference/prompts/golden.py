"""Golden rows: a few rows as text and as token ids, sealed once and compared wherever rows are rendered again.

A changed tokenizer, chat template or library gives other ids for the same text. The comparison notices it before
anything is trained, measured, registered or served. Golden rows are copied from the rendering into the adapter, and
from there into a registered version, so that later stages do not need the rendering; personal data in them is redacted.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from schemas.errors import ArtifactBroken, TuneworthyError
from tasks.inference.prompts.clock import has_clock
from tasks.inference.prompts.rendering import RenderedRow, render_row

GOLDEN = "golden.json"


@dataclass(frozen=True)
class GoldenRow:
    """A row to be sealed: `side` is train or held_out."""

    side: str
    row_id: int
    prompt: str
    completion: str
    history: tuple[str, ...] = ()
    tools: str | None = None
    trace: str | None = None


def seal_golden(rows: Iterable[GoldenRow], instruction: str, tokenizer: Any, folder: Path) -> None:
    """Write golden.json: the instruction, and each row with the ids of its prompt and of its answer."""
    sealed = [asdict(row) | asdict(_rendered_row(asdict(row), instruction, tokenizer)) for row in rows]
    text = json.dumps({"instruction": instruction, "rows": sealed}, ensure_ascii=False, indent=1)
    (folder / GOLDEN).write_text(text + "\n", encoding="utf-8")


def verify_golden(folder: Path, tokenizer: Any) -> str:
    """Render the golden rows in `folder` again, compare the token ids, and return the instruction that all rows share.

    Raises:
        TuneworthyError: some differ; the message shows the sealed and the new text of the first.
        ArtifactBroken: there are none.
    """
    golden = _read(folder)
    differing = [
        (row, now)
        for row in golden["rows"]
        if (now := _rendered(row, golden["instruction"], tokenizer)) != _sealed(row)
    ]
    if differing:
        row, now = differing[0]
        raise TuneworthyError(
            f"{len(differing)} of {len(golden['rows'])} golden rows are rendered differently from when the data was "
            f"checked, first row {row['row_id']} ({row['side']}):\n"
            f"  sealed: {_shown(_sealed(row), tokenizer)}\n  now:    {_shown(now, tokenizer)}\n"
            f"{_moved(_sealed(row), now, tokenizer)}{_cause(tokenizer)}"
        )
    return str(golden["instruction"])


def _moved(sealed: RenderedRow, now: RenderedRow | str, tokenizer: Any) -> str:
    """Return the first token that is another one than before, in words."""
    if isinstance(now, str):
        return ""
    before, after = ([*row.prompt_ids, *row.answer_ids, None] for row in (sealed, now))
    place = next((at for at, (one, other) in enumerate(zip(before, after, strict=False)) if one != other), 0)
    was, became = (
        "the end" if row[place] is None else f"{row[place]} ({tokenizer.decode([row[place]])!r})"
        for row in (before, after)
    )
    return f"  The first token that moved, number {place + 1}: {was} became {became}.\n"


def _cause(tokenizer: Any) -> str:
    if has_clock(str(tokenizer.chat_template)):
        return (
            "The base's chat template prints the time (strftime_now), and an earlier release sealed these rows with "
            "the time of that day. Run the config again: the base is sealed anew with a clock that stands still, and "
            "the adapter is trained and registered on it."
        )
    return (
        "The tokenizer, its chat template or a library has changed. Use the base model and the library versions that "
        "the rows were checked with, or run again from the start."
    )


def golden_instruction(folder: Path) -> str:
    """Return the instruction that the golden rows in `folder` were sealed with: the one that an adapter learned.

    Raises:
        ArtifactBroken: there are none.
    """
    return str(_read(folder)["instruction"])


def golden_tools(folder: Path) -> str | None:
    """Return the tools of all golden rows in `folder`, where they have the same ones."""
    every = {row.get("tools") for row in _read(folder)["rows"]}
    return every.pop() if len(every) == 1 else None


def copy_golden(source: Path, target: Path) -> None:
    """Copy the golden rows from one artifact's folder into another's."""
    _read(source)
    shutil.copyfile(source / GOLDEN, target / GOLDEN)


def _read(folder: Path) -> dict[str, Any]:
    try:
        golden: dict[str, Any] = json.loads((folder / GOLDEN).read_text(encoding="utf-8"))
    except FileNotFoundError as fault:
        raise ArtifactBroken(
            f"{folder} contains no {GOLDEN}, so the rendering of its rows cannot be checked. Run again."
        ) from fault
    return golden


def _rendered(row: dict[str, Any], instruction: str, tokenizer: Any) -> RenderedRow | str:
    try:
        return _rendered_row(row, instruction, tokenizer)
    except TuneworthyError as refusal:
        return str(refusal)


def _rendered_row(row: dict[str, Any], instruction: str, tokenizer: Any) -> RenderedRow:
    parts: Any = (row.get(part) for part in ("prompt", "completion", "history", "tools", "trace"))
    return render_row(tokenizer, instruction, *parts)


def _sealed(row: dict[str, Any]) -> RenderedRow:
    return RenderedRow(row["prompt_ids"], row["answer_ids"])


def _shown(rendered: RenderedRow | str, tokenizer: Any) -> str:
    if isinstance(rendered, str):
        return rendered
    ids = rendered.prompt_ids + rendered.answer_ids
    return (
        f"{tokenizer.decode(ids, skip_special_tokens=False)!r}, {len(ids)} tokens, {len(rendered.answer_ids)} of "
        "them supervised"
    )
