"""Layouts as they are in the wild, one golden file each: in `read` every file says the same in its own way, in
`refused` the name of a file is the reason that it is refused for. docs/rows.md shows them all.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.sections.data import DataConfig
from tasks.answers.contract import Breach
from tasks.data.layouts.conversations import Turns
from tasks.data.layouts.converting import Converter
from tasks.data.layouts.layouts import detected
from tasks.data.reading.records import read_records

GOLDEN = Path(__file__).parent / "golden"
ASKED, ANSWERED = "Where is my bike?", "On stand 4."


def rows_of(path: Path) -> list[Turns | Breach]:
    """Return the rows of a file, its layout detected."""
    data = DataConfig(source=path.name)
    records = [record for _, record in read_records(path, path.suffix)]
    convert = Converter(detected([record for record in records if isinstance(record, dict)], data), data)
    return [record if isinstance(record, Breach) else convert(record) for record in records]


@pytest.mark.parametrize("path", sorted((GOLDEN / "read").iterdir()), ids=lambda path: path.name)
def test_every_layout_says_the_same_request_and_answer(path: Path) -> None:
    rows = rows_of(path)
    assert rows
    for row in rows:
        assert isinstance(row, Turns)
        assert ((row.completion or "").rpartition("</think>")[2].strip(), row.system) == (ANSWERED, None)
        asked = row.history[0] if "tool_results" in (row.prompt or "") else row.prompt
        assert " ".join((asked or "").split()) == ASKED


@pytest.mark.parametrize("path", sorted((GOLDEN / "refused").iterdir()), ids=lambda path: path.name)
def test_what_would_be_lost_is_refused_by_its_name(path: Path) -> None:
    (row,) = rows_of(path)
    assert isinstance(row, Breach)
    assert row.reason == path.stem.partition("-")[0]
    assert row.detail
