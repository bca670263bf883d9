"""Documents are read as they are, and every one that cannot be used is named."""

from __future__ import annotations

import pytest

from schemas.errors import DatasetRefused
from tests.data.conftest import Room, sound_rows


def test_files_and_lines_are_documents(room: Room) -> None:
    room.write(sound_rows(60))
    room.write("\ufeff# Returns\n\nWithin 30 days.\n", "docs/returns.md")
    room.write([{"id": 7, "text": "seven"}, {"text": "nameless"}], "docs/more.jsonl")
    assert room.validate(corpus="docs/*").documents == 3
    assert room.table("corpus").rows() == [
        ("7", "seven"),
        ("more.jsonl:2", "nameless"),
        ("returns.md", "# Returns\n\nWithin 30 days.\n"),
    ]


def test_every_document_that_cannot_be_used_is_named(room: Room) -> None:
    room.write(sound_rows(60))
    room.write("", "docs/empty.md")
    room.write("caf\u00e9".encode("latin-1"), "docs/latin.txt")
    room.write(b"a\x00b", "docs/nul.txt")
    room.write('{"text": 3}\n{"id": "a", "text": "b"}\n{"id": "a", "text": "c"}\n{', "docs/lines.jsonl")
    with pytest.raises(DatasetRefused) as refused:
        room.validate(corpus="docs/*")
    for words in (
        "data.corpus: 6 documents cannot be used",
        "empty.md: is empty",
        "latin.txt: byte 0xE9 at offset 3 is not UTF-8",
        "nul.txt: contains a NUL byte",
        "lines.jsonl:1: has no text in 'text'",
        "lines.jsonl:4: not JSON",
        "a: several documents have this name",
    ):
        assert words in str(refused.value)


def test_without_documents_there_is_no_corpus(room: Room) -> None:
    room.write(sound_rows(60))
    assert room.validate().documents == 0
    assert not (room.workdir.out / "corpus.parquet").exists()
