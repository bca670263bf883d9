"""A fixed copy of the rows: what can be fixed without knowing the task. The source is never changed.

Fixed are damaged encodings (ftfy), control characters, white space around texts, placeholders instead of an input, and
exact duplicates. What only a person can fix (a wrong answer, a query that does not run) is left as it is and is refused
again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ftfy
import orjson

from schemas.errors import DatasetRefused
from schemas.rows import CONTROL_CHARACTERS
from tasks.answers.contract import Breach
from tasks.data.checking.heuristics import PLACEHOLDER
from tasks.data.reading.records import Form, read_records
from tasks.data.text.redaction import redacted

if TYPE_CHECKING:
    from schemas.sources import SourceFile

CONTROL = re.compile(re.sub(r"\\x\{(\w+)\}", lambda code: chr(int(code[1], 16)), CONTROL_CHARACTERS))
NO_INPUT = re.compile(PLACEHOLDER)
# Only wrong decodings are repaired; quotes, ligatures and character widths are the author's choice.
ENCODING_ONLY = ftfy.TextFixerConfig(
    unescape_html=False,
    remove_terminal_escapes=False,
    fix_latin_ligatures=False,
    fix_character_width=False,
    uncurl_quotes=False,
    fix_line_breaks=False,
    fix_surrogates=False,
    remove_control_chars=False,
    normalization=None,
)
FIXES: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("damaged_encoding", lambda text: ftfy.fix_text(text, ENCODING_ONLY)),
    ("control_characters", lambda text: CONTROL.sub("", text)),
    ("outer_white_space", str.strip),
)


ROUNDS = 8  # one fix may expose what another one fixes
EXAMPLES = 2  # shown of each kind of fix
SHOWN = 60  # characters of a text, around what was fixed


@dataclass(frozen=True)
class Edit:
    """One fix of one text."""

    mend: str
    before: str
    after: str


@dataclass(frozen=True)
class ShownEdit:
    """One fix to be shown: its place, the text before and after, redacted; `after` is None for a row left out."""

    mend: str
    place: str
    before: str
    after: str | None


@dataclass
class FixedCopy:
    """What was done: rows read and written, rows by kind of fix, and the first edits of each kind."""

    read: int = 0
    written: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    examples: list[ShownEdit] = field(default_factory=list)

    def note(self, place: str, edits: list[Edit], is_left_out: bool) -> None:
        """Count a row's edits, each kind once, and keep the first ones as examples."""
        first = {edit.mend: edit for edit in reversed(edits)}
        for mend in dict.fromkeys(edit.mend for edit in edits):
            self.counts[mend] += 1
            if self.counts[mend] <= EXAMPLES:
                self.examples.append(_shown(first[mend], place, is_left_out))


def fix_rows(files: Iterable[SourceFile], out: Path) -> FixedCopy:
    """Write the fixed rows to `out`, one JSON object per line, and NAME.changes.jsonl beside it with file, line and
    kind of every fix.

    Returns:
        What was done; exact duplicates and unreadable rows are left out.

    Raises:
        DatasetRefused: `out` exists, or a file cannot be read as a whole.
    """
    changes = out.with_name(f"{out.stem}.changes.jsonl")
    for path in (out, changes):
        if path.exists():
            raise DatasetRefused(f"{path} exists already. Name another file for the fixed rows.")
    done, seen = FixedCopy(), set[bytes]()
    with out.open("wb") as rows, changes.open("wb") as log:
        for file, number, record in _records(files):
            done.read += 1
            line, edits = _line(record, seen)
            if line:
                done.written += 1
                rows.write(line)
            if edits:
                done.note(f"{file}:{number}", edits, not line)
                kinds = list(dict.fromkeys(edit.mend for edit in edits))
                log.write(
                    orjson.dumps({"file": file, "line": number, "mended": kinds}, option=orjson.OPT_APPEND_NEWLINE)
                )
    return done


def _line(record: dict[str, Any] | Breach, seen: set[bytes]) -> tuple[bytes, list[Edit]]:
    """Return the line to be written (empty for a row that is left out) and its edits."""
    if isinstance(record, Breach):
        return b"", [Edit("unreadable", record.detail, "")]
    fixed, edits = _fixed(record)
    line = orjson.dumps(fixed, option=orjson.OPT_APPEND_NEWLINE, default=str)
    digest = hashlib.blake2b(line, digest_size=16).digest()
    if digest in seen:
        return b"", [Edit("exact_duplicate", line.decode("utf-8", "replace").strip(), "")]
    seen.add(digest)
    return line, edits


def _shown(edit: Edit, place: str, is_left_out: bool) -> ShownEdit:
    """Return an edit from where its texts begin to differ; invisible characters are escaped as in JSON."""
    before, after = redacted(edit.before), redacted(edit.after)
    same = next((at for at, (one, other) in enumerate(zip(before, after, strict=False)) if one != other), 0)
    start = max(0, same - SHOWN // 3)
    return ShownEdit(edit.mend, place, _visible(before, start), None if is_left_out else _visible(after, start))


def _visible(text: str, start: int) -> str:
    written = json.dumps(text[start : start + SHOWN], ensure_ascii=False)[1:-1]
    plain = "".join(sign if sign.isprintable() else f"\\u{ord(sign):04x}" for sign in written)
    return f"{'…' if start else ''}{plain}{'…' if len(text) > start + SHOWN else ''}"


def _records(files: Iterable[SourceFile]) -> Iterator[tuple[str, int, dict[str, Any] | Breach]]:
    for file in files:
        path = Path(file.path)
        yield from (
            (path.name, number, record)
            for number, record in read_records(path, file.suffix, Form(file.separator, file.encoding))
        )


def _fixed(record: dict[str, Any]) -> tuple[dict[str, Any], list[Edit]]:
    edits: list[Edit] = []
    fixed = {name: _walk(value, edits) for name, value in record.items()}
    given = fixed.get("input")
    if isinstance(given, str) and NO_INPUT.match(given):
        fixed["input"] = ""
        edits.append(Edit("placeholder_input", given, ""))
    return fixed, edits


def _walk(value: Any, edits: list[Edit]) -> Any:
    if isinstance(value, dict):
        return {name: _walk(inner, edits) for name, inner in value.items()}
    if isinstance(value, list):
        return [_walk(inner, edits) for inner in value]
    return _text(value, edits) if isinstance(value, str) else value


def _text(text: str, edits: list[Edit]) -> str:
    for _ in range(ROUNDS):
        before = text
        for name, fix in FIXES:
            after = fix(text)
            if after != text:
                edits.append(Edit(name, text, after))
                text = after
        if text == before:
            break
    return text
