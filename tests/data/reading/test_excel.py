"""An Excel file is read as it is, and objects that are spread over several lines are objects."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from schemas.errors import DatasetRefused
from tasks.answers.contract import Breach
from tasks.data.reading.records import read_records
from tests.data.conftest import Room

Cell = str | float | None
SPACE = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
REL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def write_xlsx(path: Path, **sheets: list[list[Cell]]) -> Path:
    """Write a workbook with the least that Excel asks for."""

    def cell(value: Cell, place: str) -> str:
        if value is None:
            return ""
        if isinstance(value, str):
            return f'<c r="{place}" t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'
        return f'<c r="{place}"><v>{value}</v></c>'

    named = list(enumerate(sheets.items(), 1))
    listed = "".join(f'<sheet name="{name}" sheetId="{n}" r:id="r{n}"/>' for n, (name, _) in named)
    linked = "".join(f'<Relationship Id="r{n}" Type="{REL}/worksheet" Target="s{n}.xml"/>' for n, _ in named)
    packages = "http://schemas.openxmlformats.org/package/2006"
    with zipfile.ZipFile(path, "w") as book:
        root = f'<Relationship Id="r1" Type="{REL}/officeDocument" Target="xl/workbook.xml"/>'
        book.writestr("_rels/.rels", f'<Relationships xmlns="{packages}/relationships">{root}</Relationships>')
        book.writestr("[Content_Types].xml", f'<Types xmlns="{packages}/content-types"/>')
        book.writestr("xl/workbook.xml", f'<workbook {SPACE} xmlns:r="{REL}"><sheets>{listed}</sheets></workbook>')
        book.writestr(
            "xl/_rels/workbook.xml.rels", f'<Relationships xmlns="{packages}/relationships">{linked}</Relationships>'
        )
        for n, (_, rows) in named:
            written = "".join(
                f'<row r="{at}">{"".join(cell(one, f"{chr(65 + column)}{at}") for column, one in enumerate(row))}</row>'
                for at, row in enumerate(rows, 1)
            )
            book.writestr(f"xl/s{n}.xml", f"<worksheet {SPACE}><sheetData>{written}</sheetData></worksheet>")
    return path


HEADER: list[Cell] = ["prompt", "completion"]


def test_a_sheet_is_read_as_texts_with_its_row_numbers_and_without_blank_rows(tmp_path: Path) -> None:
    rows: list[list[Cell]] = [
        HEADER,
        ["Wo?", "«ü»\nzwei"],
        [None, None],
        ["how many?", 3.0],
        ["how much?", 1.5],
        ["7", None],
    ]
    path = write_xlsx(tmp_path / "rows.xlsx", Tickets=rows, Empty=[])
    assert list(read_records(path, ".xlsx")) == [
        (2, {"prompt": "Wo?", "completion": "«ü»\nzwei"}),
        (4, {"prompt": "how many?", "completion": "3"}),
        (5, {"prompt": "how much?", "completion": "1.5"}),
        (6, {"prompt": "7", "completion": None}),
    ]


@pytest.mark.parametrize(("sheets", "says"), [(("a", "b"), r"2 have them \(a, b\)"), ((), r"0 have them \(none\)")])
def test_a_book_with_rows_on_several_sheets_or_none_is_refused(
    tmp_path: Path, sheets: tuple[str, ...], says: str
) -> None:
    full = {name: [HEADER, ["a", "b"]] for name in sheets} or {"a": [HEADER]}
    with pytest.raises(DatasetRefused, match=says):
        list(read_records(write_xlsx(tmp_path / "rows.xlsx", **full), ".xlsx"))


@pytest.mark.parametrize("content", [b"", b"prompt,completion\na,b\n", b"PK\x03\x04" + b"\0" * 40])
def test_what_is_called_xlsx_and_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "rows.xlsx").write_bytes(content)
    with pytest.raises(DatasetRefused, match="cannot be read as Excel"):
        list(read_records(tmp_path / "rows.xlsx", ".xlsx"))


@pytest.mark.parametrize("between", ["\n", "\n\n", ",\n", ""])
def test_pretty_printed_objects_are_rows_by_their_first_lines(tmp_path: Path, between: str) -> None:
    rows = [{"prompt": f"p {n} }}{{", "completion": {"a": [n]}} for n in range(3)]
    path = tmp_path / "rows.jsonl"
    path.write_text(between.join(json.dumps(row, indent=2) for row in rows))
    found = list(read_records(path, ".jsonl"))
    assert [row for _, row in found] == rows
    height = len(json.dumps(rows[0], indent=2).splitlines()) - 1
    assert [number for number, _ in found] == [1 + n * (height + between.count("\n")) for n in range(3)]


def test_a_pretty_printed_object_without_its_end_is_a_malformed_row_at_its_place(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{\n  "prompt": "a"\n}\n{\n  "prompt": "b",\n')
    (_, whole), (number, broken) = read_records(path, ".jsonl")
    assert whole == {"prompt": "a"}
    assert (number, broken.reason if isinstance(broken, Breach) else broken) == (4, "malformed_row")


def test_a_broken_line_costs_itself_and_not_the_rows_after_it(room: Room) -> None:
    sound = [f'{{"prompt": "question {number}", "completion": "answer {number}"}}' for number in range(10)]
    room.write("\n".join(["{", *sound, "{", "{}"]), "rows.jsonl")
    made = room.validate(source="rows.jsonl", refuse_above=1, held_out=0.5)
    assert made.reasons["malformed_row"] == 2
    assert made.train_rows + made.held_out_rows + made.refused_rows == len(sound) + 3
