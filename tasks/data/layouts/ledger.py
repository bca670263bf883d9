"""What became of every column: read, passed over by name with the share of rows that fill it, or refused."""

from __future__ import annotations

import difflib
import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from schemas.errors import DatasetRefused
from tasks.answers.contract import Breach
from tasks.data.layouts.conversations import read_keys
from tasks.data.layouts.converting import IGNORED, LOST, UNREAD, Converter
from tasks.data.layouts.known_names import CALLS, LOSS_OF, ROLE_OF, TRACES, WEIGHTS, is_filled, plain
from tasks.data.layouts.values import parsed

if TYPE_CHECKING:
    from schemas.sections.data import DataConfig


class Ledger:
    """Counts the columns of all records, and keeps a fingerprint of everything that they say.

    `blank` counts what was passed over: rows of a CSV file without any value, columns without a name; `earlier_answers`
    those that are context only, as the last answer of a conversation is learned.
    """

    def __init__(self, data: DataConfig, as_line: Callable[[dict[str, Any]], bytes]) -> None:
        self.data, self.rows, self.blank, self.earlier_answers = data, 0, Counter[str](), 0
        self._as_line, self._said = as_line, hashlib.blake2b(digest_size=16)
        self._filled, self._uses = Counter[str](), defaultdict[str, dict[str, None]](dict)

    def note(
        self, records: Iterable[Mapping[str, Any] | Breach], convert: Converter, others: Mapping[str, str]
    ) -> None:
        """Count some records of one layout; `others` are columns that something else reads: column -> setting."""
        for record in records:
            self.rows += 1
            if isinstance(record, Breach):
                self._said.update(record.detail.encode())
                continue
            uses = convert.uses(record)
            for name, value in record.items():
                use = uses[name]
                if is_filled(value):
                    self._filled[name] += 1
                if use == "messages":
                    self._note_messages(name, value)
                self._uses[name][others.get(name, use) if use == UNREAD else use] = None
            said = {name: value for name, value in record.items() if uses[name] != IGNORED}
            self._said.update(self._as_line(said))

    def _note_messages(self, column: str, value: object) -> None:
        messages = parsed(value)
        found = dict[str, str]()
        for message in messages if isinstance(messages, list) else []:
            read: tuple[str | None, ...] = read_keys(message, self.data.ignore) if isinstance(message, dict) else ()
            for key in message if isinstance(message, dict) else ():
                if is_filled(message[key]) or key not in found:
                    found[key] = self._use_of_key(key, read)
        for key, use in found.items():
            self._filled[f"{column}[].{key}"] += 1
            self._uses[f"{column}[].{key}"][use] = None

    def _use_of_key(self, key: str, read: tuple[str | None, ...]) -> str:
        name = plain(key)
        if key in self.data.ignore:
            return IGNORED
        if name in WEIGHTS:
            return "weight"
        if key in read or name in CALLS | TRACES or (None in read and name in ROLE_OF):
            return "messages"
        return f"{LOST}{LOSS_OF[name]}" if name in LOSS_OF and LOSS_OF[name] != "unread_context" else UNREAD

    @property
    def columns(self) -> list[dict[str, Any]]:
        """Every column and key of a message in the source's order: name, what became of it, share that is filled."""
        share = {name: round(self._filled[name] / max(1, self.rows), 4) for name in self._uses}
        return [
            {"column": name, "became": " and ".join(map(_in_words, uses)), "filled": share[name]}
            for name, uses in self._uses.items()
        ]

    @property
    def as_json(self) -> dict[str, Any]:
        """What report.json holds of it; the fingerprint is of everything that the rows say, but for ignored columns."""
        return {
            "columns": self.columns,
            "passed_over": dict(+self.blank),
            "earlier_answers": self.earlier_answers,
            "fingerprint": self._said.hexdigest(),
        }

    @property
    def in_words(self) -> list[str]:
        """What was not read or passed over, a line each."""
        unread = [
            f"{column['column']} ({column['filled']:.0%} filled)"
            for column in self.columns
            if column["became"] == UNREAD and column["filled"]
        ]
        lines = [f"columns not read: {', '.join(unread)}"] if unread else []
        if self.earlier_answers:
            lines.append(f"{self.earlier_answers} earlier answers are context only: the last of a row is learned")
        return lines + [f"passed over: {count} {what}" for what, count in (+self.blank).items()]

    def refuse_unknown(self) -> None:
        """Refuse a data.ignore that names a column or key which no row has.

        Raises:
            DatasetRefused: with the nearest name.
        """
        known = {name for column in self._uses for name in (column, column.rpartition("[].")[2])}
        for name in self.data.ignore:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                meant = f"; did you mean {near[0]!r}?" if near else "."
                raise DatasetRefused(f"data.ignore names {name!r}, and no row has such a column{meant}")


def _in_words(use: str) -> str:
    return use if use in (IGNORED, UNREAD) or use.startswith((LOST, "read")) else f"read: {use}"
