"""A mended copy of the rows: what a program can mend without knowing the task. The source is never touched.

Mended are damaged encodings (ftfy), control characters, white space around texts, inputs that only say that there is none, and exact
repeats. What only a person can mend (a wrong answer, a query that does not run) stays as it is and is refused again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ftfy
import orjson

from schemas.errors import DatasetRefused
from schemas.rows import CONTROL_CHARACTERS
from tasks.answers.contract import Breach
from tasks.data.doubts import PLACEHOLDER
from tasks.data.records import read_records

if TYPE_CHECKING:
    from schemas.artifacts import SourceFile

CONTROL = re.compile(CONTROL_CHARACTERS.replace("\\x{FEFF}", "\ufeff").replace("\\x{FFFE}", "\ufffe"))
NO_INPUT = re.compile(PLACEHOLDER)
# Only wrong decodings are undone; quotes, ligatures and widths are the writer's.
ENCODING_ONLY = ftfy.TextFixerConfig(
    unescape_html=False, remove_terminal_escapes=False, fix_latin_ligatures=False, fix_character_width=False, uncurl_quotes=False,
    fix_line_breaks=False, fix_surrogates=False, remove_control_chars=False, normalization=None,
)  # fmt: skip
MENDS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("damaged_encoding", lambda text: ftfy.fix_text(text, ENCODING_ONLY)),
    ("control_characters", lambda text: CONTROL.sub("", text)),
    ("outer_white_space", str.strip),
)


def mend_rows(files: Iterable[SourceFile], out: Path) -> dict[str, int]:
    """Write the mended rows to `out`, one JSON object a line, and beside it NAME.changes.jsonl with file, line and what was mended.

    Returns:
        How many rows were mended by each mend; `exact_duplicate` and `unreadable` rows are left out.

    Raises:
        DatasetRefused: `out` exists, or a file cannot be read as a whole.
    """
    changes = out.with_name(f"{out.stem}.changes.jsonl")
    for path in (out, changes):
        if path.exists():
            raise DatasetRefused(f"{path} exists already. Name another file for the mended rows.")
    counts: Counter[str] = Counter()
    seen: set[bytes] = set()
    with out.open("wb") as rows, changes.open("wb") as log:
        for file, number, record in _records(files):
            mended, mends = ({}, ["unreadable"]) if isinstance(record, Breach) else _mended(record)
            line = orjson.dumps(mended, option=orjson.OPT_APPEND_NEWLINE, default=str)
            if not isinstance(record, Breach) and line in seen:
                mends = ["exact_duplicate"]
            elif not isinstance(record, Breach):
                seen.add(line)
                rows.write(line)
            if mends:
                counts.update(mends)
                log.write(orjson.dumps({"file": file, "line": number, "mended": mends}, option=orjson.OPT_APPEND_NEWLINE))
    return dict(counts)


def _records(files: Iterable[SourceFile]) -> Iterator[tuple[str, int, dict[str, Any] | Breach]]:
    for file in files:
        path = Path(file.path)
        yield from ((path.name, number, record) for number, record in read_records(path, file.suffix))


def _mended(record: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    mends: list[str] = []
    mended = {name: _walk(value, mends) for name, value in record.items()}
    if isinstance(mended.get("input"), str) and NO_INPUT.match(mended["input"]):
        mended["input"] = ""
        mends.append("placeholder_input")
    return mended, list(dict.fromkeys(mends))


def _walk(value: Any, mends: list[str]) -> Any:
    if isinstance(value, dict):
        return {name: _walk(inner, mends) for name, inner in value.items()}
    if isinstance(value, list):
        return [_walk(inner, mends) for inner in value]
    return _text(value, mends) if isinstance(value, str) else value


def _text(text: str, mends: list[str]) -> str:
    for name, mend in MENDS:
        after = mend(text)
        if after != text:
            mends.append(name)
            text = after
    return text
