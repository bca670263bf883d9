"""Every kind of file is read, and what cannot be read is said with its place; no row is lost and nothing ends in a
traceback.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.errors import ConfigRefused, DatasetRefused
from schemas.sections.data import DataConfig
from schemas.sources import SourceFile
from tasks.data.layouts.ledger import Ledger
from tasks.data.reading import tables
from tasks.data.reading.fetching import as_line
from tasks.data.reading.frames import Reading, read_rows
from tests.data.conftest import Room, sound_rows

ROWS = [{"prompt": f"frage {n}, «ü»", "completion": f'a "{n}"\nb'} for n in range(60)]


def as_csv(delimiter: str) -> bytes:
    return pl.DataFrame(ROWS).write_csv(separator=delimiter).encode()


def as_parquet() -> bytes:
    stream = io.BytesIO()
    pl.DataFrame(ROWS).write_parquet(stream)
    return stream.getvalue()


LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.jsonl", LINES),
        ("rows.jsonl", b"\xef\xbb\xbf" + LINES.replace(b"\n", b"\r\n").rstrip()),
        ("rows.ndjson.gz", gzip.compress(LINES)),
        ("rows.jsonl.zst", zstandard.compress(b"\xef\xbb\xbf" + LINES)),
        ("rows.csv.zst", zstandard.compress(as_csv(",")[:500]) + zstandard.compress(as_csv(",")[500:])),
        ("rows.json", json.dumps(ROWS).encode()),
        ("rows.csv", as_csv(",")),
        ("rows.csv", b"\xef\xbb\xbf" + as_csv(";")),
        ("rows.csv.gz", gzip.compress(as_csv("\t"))),
        ("rows.tsv", as_csv("\t")),
        ("rows.parquet", as_parquet()),
    ],
)
def test_every_kind_of_file_gives_the_same_rows(room: Room, name: str, content: bytes) -> None:
    room.write(content, name)
    room.validate(source=name)
    both = pl.concat([room.table("train"), room.table("held_out")]).sort("row_id")
    assert both.select("prompt", "completion").to_dicts() == ROWS


def test_rows_of_several_files_are_numbered_through(room: Room) -> None:
    room.write(sound_rows(30), "a.jsonl")
    room.write(
        [
            {"prompt": "p", "completion": "x"},
            {"prompt": "", "completion": "x"},
            *({"prompt": f"q{n}", "completion": "y"} for n in range(20)),
        ],
        "b.jsonl",
    )
    room.validate(source="*.jsonl", refuse_above=0.1)
    assert room.table("refused").select("row_id", "file", "line").rows() == [(32, "b.jsonl", 2)]


def test_a_blank_line_is_no_row_but_counts_as_a_line(room: Room) -> None:
    room.write("\n\n" + "\n".join(json.dumps(row) for row in sound_rows(60)) + "\n\n{\n")
    data = room.validate(refuse_above=0.1)
    assert room.table("refused")["line"].to_list() == [64]
    assert data.train_rows + data.held_out_rows == 60


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("rows.jsonl", b"", "rows.jsonl has no rows. A run needs rows with the columns prompt, completion"),
        ("rows.csv", b"", "rows.csv has no rows"),
        ("rows.csv", b"prompt,completion\n", "rows.csv has no rows"),
        ("rows.json", b"[]", "rows.json has no rows"),
        ("rows.jsonl", '{"prompt": "ü"}'.encode("utf-16"), "rows.jsonl is in UTF-16, as its first bytes show"),
        (
            "rows.jsonl",
            b'{"promt": "x", "completion": "y"}',
            "has no column 'prompt' (data.prompt); did you mean 'promt'?",
        ),
        (
            "rows.jsonl",
            b'{"promt": "x", "completion": "y"}',
            "Its columns: completion, promt. Name the right one in the config.",
        ),
        ("rows.csv", b"Zeile,Inhalt\na,b\n", "has no column 'completion' (data.completion)."),
        ("rows.csv", b"prompt,prompt,completion\na,b,c\n", "column 'prompt' appears more than once"),
        ("rows.csv", b'prompt,completion\na,b\n"c,d\ne,f\n', "row 2 opens a quote that is never closed"),
        ("rows.json", b'{"prompt": 1}', "is a JSON object with the keys prompt; a .json file of rows is an array"),
        ("rows.json", b"[1, ", "rows.json is not JSON"),
        ("rows.parquet", b"PAR1 or not", "cannot be read as Parquet"),
        ("rows.jsonl.gz", b"not packed", "rows.jsonl.gz cannot be read"),
        ("rows.jsonl.gz", gzip.compress(LINES)[:-20], "rows.jsonl.gz cannot be read"),
        (
            "rows.jsonl.gz",
            gzip.compress(LINES)[:40] + b"\xff" * 200,
            "rows.jsonl.gz cannot be read: its compressed data is damaged",
        ),
        (
            "rows.jsonl.zst",
            zstandard.compress(LINES)[:-20],
            "rows.jsonl.zst cannot be read: its compressed data is damaged: it ends within a frame",
        ),
        ("rows.jsonl.zst", b"not packed", "rows.jsonl.zst cannot be read: its compressed data is damaged"),
    ],
)
def test_a_file_that_is_of_no_use_is_refused_in_words(room: Room, name: str, content: bytes, words: str) -> None:
    room.write(content, name)
    with pytest.raises(DatasetRefused) as refused:
        room.validate(source=name)
    assert words in str(refused.value)


def test_a_parquet_file_of_several_slices_is_read_whole(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "SLICE", 7)
    room.write(as_parquet(), "rows.parquet")
    room.validate(source="rows.parquet")
    both = pl.concat([room.table("train"), room.table("held_out")]).sort("row_id")
    assert both["row_id"].to_list() == list(range(1, 61))
    assert both.select("prompt", "completion").to_dicts() == ROWS


def test_a_kind_of_file_that_is_not_read_is_refused_by_its_name(room: Room) -> None:
    room.write("x", "rows.xls")
    with pytest.raises(
        ConfigRefused, match=r"data\.source: rows\.xls is not a supported kind of file; supported are: \.jsonl"
    ):
        room.validate(source="rows.xls")


@pytest.mark.parametrize(
    ("name", "row", "reason", "detail"),
    [
        ("rows.jsonl", b'{"prompt": "x", "completion": ', "malformed_row", "not JSON: "),
        (
            "rows.jsonl",
            b'{"prompt": "caf\xe9", "completion": "x"}',
            "wrong_encoding",
            "byte 0xE9 at offset 94 of the file is not UTF-8",
        ),
        ("rows.jsonl", b'{"prompt": "a\x00b", "completion": "x"}', "malformed_row", "not JSON: "),
        ("rows.jsonl", b'{"prompt": "\\ud800", "completion": "x"}', "malformed_row", "not JSON: "),
        ("rows.csv", b"only one", "malformed_row", "1 fields, but the header has 2"),
        ("rows.csv", b'"a"b,c', "malformed_row", "not CSV: "),
        ("rows.csv", b"caf\xe9,x", "wrong_encoding", "a byte of this row is not UTF-8"),
        ("rows.csv", b"a\x00b,x", "control_characters", "prompt contains a control character such as NUL"),
    ],
)
def test_a_row_that_cannot_be_read_is_listed_and_the_next_is_read(
    room: Room, name: str, row: bytes, reason: str, detail: str
) -> None:
    before, after = [{"prompt": "first", "completion": "1"}, {"prompt": "second", "completion": "2"}], ROWS
    if name.endswith("csv"):
        lines = [
            pl.DataFrame(rows).write_csv(include_header=not n).encode().rstrip()
            for n, rows in enumerate((before, after))
        ]
    else:
        lines = [b"\n".join(json.dumps(row).encode() for row in rows) for rows in (before, after)]
    room.write(b"\n".join([lines[0], row, lines[1]]), name)
    room.validate(source=name, refuse_above=0.1)
    refused = room.table("refused").row(0, named=True)
    assert (refused["row_id"], refused["reason"]) == (3, reason)
    assert refused["detail"].startswith(detail)
    assert room.report()["rows"] == {
        "read": 63,
        "train": room.table("train").height,
        "held_out": room.table("held_out").height,
        "refused": 1,
    }


@pytest.mark.slow
def test_a_line_of_ten_megabytes_is_a_row(room: Room) -> None:
    room.write([*sound_rows(60), {"prompt": "x" * 10_000_000, "completion": "long"}])
    assert room.validate().refused_rows == 0


def test_columns_go_by_the_names_in_the_config(room: Room) -> None:
    room.write([{"frage": f"q{n}", "antwort": f"a{n}", "prompt": 3} for n in range(60)])
    room.validate(prompt="frage", completion="antwort")
    assert room.table("train")["prompt"].str.starts_with("q").all()


def test_a_key_that_most_rows_do_not_have_is_noted_with_its_name(room: Room) -> None:
    odd = {"prompt": "where?", "completion": "there", "complettion": "x", "source": "z"}
    room.write([*({**row, "source": "a"} for row in sound_rows(60)), odd, {"prompt": "when?", "completion": "now"}])
    room.validate()
    assert room.table("notes").select("row_id", "reason", "detail").rows() == [
        (61, "extra_key", "has complettion, which most rows of its file lack")
    ]
    assert room.validate(checks={"extra_key": "refuse"}, refuse_above=0.1).reasons == {"extra_key": 1}


def test_a_key_that_is_read_is_none_too_many(room: Room) -> None:
    rows = [
        {"instruction": f"do {n}", "output": f"done {n}", **({"input": f"with {n}"} if n % 10 == 0 else {})}
        for n in range(60)
    ]
    room.write(rows)
    room.validate()
    assert room.table("notes").is_empty()


@pytest.mark.slow
def test_a_row_whose_id_an_earlier_row_has_is_refused_and_one_without_is_not(room: Room) -> None:
    rows = [{**row, "key": n if n % 2 else f"k{n}"} for n, row in enumerate(sound_rows(60))]
    room.write(
        [
            *rows,
            {"prompt": "where?", "completion": "there", "key": "7"},
            *({"prompt": f"when {n}?", "completion": "now", "key": None} for n in "ab"),
        ]
    )
    assert room.validate(id="key", refuse_above=0.1).reasons == {"duplicate_id": 1}
    assert room.table("refused").select("row_id", "detail").row(0) == (61, "has the same id as row 8")
    assert room.validate().reasons == {}


def test_an_id_column_that_is_not_there_is_said(room: Room) -> None:
    room.write(sound_rows(60))
    with pytest.raises(DatasetRefused, match=r"has no column 'uid' \(data\.id\)"):
        room.validate(id="uid")


TEXTS = st.text(max_size=6) | st.sampled_from(["", " ", "a", "A", "\x00", "a.", "\u2028", "\ufeff"])
VALUES = TEXTS | st.none() | st.integers() | st.lists(st.none(), max_size=1)
OBJECTS = st.dictionaries(st.sampled_from(["prompt", "completion", "group", "other"]), VALUES)
JSON_LINES = st.lists(OBJECTS.map(json.dumps).map(str.encode) | st.binary(max_size=8), max_size=12)
CSV_LINES = st.lists(st.binary(max_size=12) | TEXTS.map(lambda text: text.encode() + b",b,c"), max_size=12)
SOUND = {
    "rows.jsonl": [json.dumps(row).encode() for row in sound_rows(8)],
    "rows.csv": [b"prompt,completion,group", *(f"question {n},answer {n},g{n}".encode() for n in range(8))],
}


def rows_in(room: Room, name: str) -> int:
    """Count the rows of a file anew, by the plainest rule there is."""
    if name.endswith("jsonl"):
        return sum(
            bool(line.strip()) for line in (room.folder / name).read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
        )
    data = DataConfig(source=name)
    read = read_rows(
        [SourceFile(path=str(room.folder / name), digest="", suffix=Path(name).suffix)],
        Reading(data, Ledger(data, as_line)),
    )
    return sum(piece.rows.height for piece in read)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv"])
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data(), grouped=st.booleans())
def test_of_any_file_refused_and_kept_rows_are_the_rows_read(
    make_room: Callable[[str], Room], name: str, data: st.DataObject, grouped: bool
) -> None:
    lines = data.draw(JSON_LINES if name.endswith("jsonl") else CSV_LINES)
    room = _fresh(make_room)
    room.write(b"\n".join([*SOUND[name], *lines]), name)
    try:
        made = room.validate(source=name, group="group" if grouped else None, refuse_above=1, held_out=0.5)
    except DatasetRefused as refused:
        assert str(refused)
        return
    parts = [room.table(part)["row_id"].to_list() for part in ("train", "held_out", "refused")]
    every = [row for part in parts for row in part]
    assert len(every) == len(set(every)) == rows_in(room, name)
    assert made.refused_rows == len(parts[2]) == sum(made.reasons.values())


_made = iter(range(10**9))


def _fresh(make_room: Callable[[str], Room]) -> Room:
    return make_room(f"room-{next(_made)}")
