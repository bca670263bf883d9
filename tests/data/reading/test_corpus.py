"""Documents are read as they are, and every one that cannot be used is named."""

from __future__ import annotations

import json

import docx
import pytest

from schemas.errors import DatasetRefused
from tests.data.conftest import Room, sound_rows


def test_files_and_lines_are_documents(room: Room) -> None:
    room.write(sound_rows(60))
    room.write("\ufeff# Returns\n\nWithin 30 days.\n", "docs/returns.md")
    room.write([{"id": 7, "text": "seven", "lang": "en"}, {"text": "nameless"}], "docs/more.jsonl")
    assert room.validate(corpus="docs/*").documents == 3
    assert room.table("corpus").rows() == [
        ("7", "seven", '{"lang": "en"}'),
        ("more.jsonl:2", "nameless", "{}"),
        ("returns.md", "# Returns\n\nWithin 30 days.\n", "{}"),
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


HTML = """<html><head><title>House  rules</title><style>p {}</style></head><body><nav>Home</nav>
<h1>Rules</h1><p>Keep   <b>quiet</b>
after ten.</p><h2>Pets</h2><table><tr><td>Cats</td><td>yes</td></tr></table></body></html>"""


def one_page_pdf(text: str) -> bytes:
    """Return a PDF of two pages; on the first one stands a text."""
    from io import BytesIO

    from pypdf import PdfWriter
    from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

    writer, out = PdfWriter(), BytesIO()
    page = writer.add_blank_page(200, 200)
    names = {"/Type": "/Font", "/Subtype": "/Type1", "/BaseFont": "/Helvetica"}
    font = DictionaryObject({NameObject(key): NameObject(value) for key, value in names.items()})
    fonts = DictionaryObject({NameObject("/F1"): font})
    page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
    stream = DecodedStreamObject()
    stream.set_data(f"BT /F1 12 Tf 20 100 Td ({text}) Tj ET".encode())
    page[NameObject("/Contents")] = stream
    writer.add_blank_page(200, 200)
    writer.add_metadata({"/Title": "Fees"})
    writer.write(out)
    return out.getvalue()


def test_a_folder_gives_every_kind_of_document_with_headings_pages_and_what_it_says_of_itself(room: Room) -> None:
    room.write(sound_rows(60))
    room.write(HTML, "docs/deep/rules.html")
    room.write(one_page_pdf("Late fee: 3 euros"), "docs/fees.pdf")
    room.write(b"\x89PNG", "docs/logo.png")
    paper = docx.Document()
    paper.core_properties.author = "Ann"
    paper.add_heading("Hours", 2)
    paper.add_paragraph("Open at nine.")
    paper.save(str(room.folder / "docs" / "hours.docx"))
    assert room.validate(corpus="docs").documents == 3
    found = {name: (text, json.loads(facts)) for name, text, facts in room.table("corpus").rows()}
    assert found["deep/rules.html"] == (
        "# Rules\n\nKeep quiet after ten.\n\n## Pets\n\nCats | yes |",
        {"title": "House rules"},
    )
    assert found["hours.docx"][0] == "## Hours\n\nOpen at nine." and found["hours.docx"][1]["author"] == "Ann"
    assert found["fees.pdf"][0] == "Late fee: 3 euros\f" and found["fees.pdf"][1]["title"] == "Fees"


def test_one_unreadable_document_of_many_is_named_and_the_others_are_used(room: Room) -> None:
    room.write(sound_rows(60))
    room.write(b"%PDF-1.4 cut off", "docs/bad.pdf")
    room.write(b"PK no zip", "docs/bad.docx")
    for number in range(18):
        room.write(f"Page {number}.", f"docs/{number}.txt")
    assert room.validate(corpus="docs", refuse_above=0.1).documents == 18
    unread = room.report()["unread_documents"]
    assert [line.partition(":")[0] for line in unread] == ["bad.docx", "bad.pdf"]
    assert "cannot be read as pdf" in unread[1]
    with pytest.raises(DatasetRefused, match="2 documents cannot be used"):
        room.validate(corpus="docs", refuse_above=0.05)
