"""Whatever is given as rows: a refusal in words, or every row that was read is kept or listed, once."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
import zstandard
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from schemas.errors import TuneworthyError
from tests.data.conftest import Room, sound_rows

ROWS = sound_rows(12)
CHATS = [
    {
        "messages": [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["completion"]}],
        "id": n,
    }
    for n, row in enumerate(ROWS)
]
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(2**65), 2**65)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["", "a\x00", "\ud800", "user", "question number 1?"])
)
NAMES = st.sampled_from(
    [
        "role",
        "content",
        "from",
        "value",
        "messages",
        "conversations",
        "prompt",
        "completion",
        "instruction",
        "input",
        "output",
        "system",
        "group",
        "id",
        "x",
    ]
)
NESTED = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=10
)
TURN = (
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system", "tool", None, 3]), "content": PLAIN | st.just("fine")}
    )
    | NESTED
)
RECORD = (
    st.fixed_dictionaries({"messages": st.lists(TURN, max_size=6) | NESTED})
    | st.dictionaries(NAMES, NESTED, max_size=5)
    | NESTED
)
# Everything that a set can be asked to do with its rows at once.
ASKED: list[dict[str, Any]] = [
    {},
    {"group": "group"},
    {"id": "id", "checks_file": "checks.yaml"},
    {"layout": "sharegpt"},
    {"layout": "alpaca"},
    {"layout": "messages"},
]
SETTINGS = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
_made = iter(range(10**9))


def lines(records: list[Any]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def parquet(rows: list[dict[str, Any]]) -> bytes:
    stream = io.BytesIO()
    pl.DataFrame(rows).write_parquet(stream)
    return stream.getvalue()


FILES: dict[str, bytes] = {
    "rows.jsonl": lines(ROWS),
    "chats.jsonl": lines(CHATS),
    "rows.jsonl.gz": gzip.compress(lines(ROWS)),
    "rows.jsonl.zst": zstandard.compress(lines(CHATS)),
    "rows.json": json.dumps(ROWS).encode(),
    "rows.csv": pl.DataFrame(ROWS).write_csv().encode(),
    "rows.csv.zst": zstandard.compress(pl.DataFrame(ROWS).write_csv().encode()),
    "rows.tsv": pl.DataFrame(ROWS).write_csv(separator="\t").encode(),
    "rows.parquet": parquet(ROWS),
    "chats.parquet": parquet(CHATS),
}


def judged(make_room: Callable[[str], Room], name: str, content: bytes, asked: dict[str, Any]) -> dict[str, int] | None:
    """Return the report's counts, after looking that no row is lost or listed twice; None where the set was refused."""
    room = make_room(f"room-{next(_made)}")
    room.write(content, name)
    room.write(
        "columns: {x: {dtype: Float64, nullable: true, required: false, in_range: {min_value: 0, max_value: 1}}}",
        "checks.yaml",
    )
    try:
        room.validate(source=name, refuse_above=1, held_out=0.5, **asked)
    except TuneworthyError as refused:
        assert str(refused)
        return None
    parts = [room.table(part)["row_id"].to_list() for part in ("train", "held_out", "refused")]
    every = [row for part in parts for row in part]
    counts: dict[str, int] = room.report()["rows"]
    assert len(every) == len(set(every)) == counts["read"]
    assert [len(part) for part in parts] == [counts[part] for part in ("train", "held_out", "refused")]
    return counts


@pytest.mark.parametrize("name", FILES)
def test_each_of_these_files_is_sound(make_room: Callable[[str], Room], name: str) -> None:
    assert judged(make_room, name, FILES[name], {}) is not None


@pytest.mark.slow
@SETTINGS
@given(records=st.lists(RECORD, max_size=8), asked=st.sampled_from(ASKED), first=st.sampled_from([ROWS, CHATS]))
@example(
    [{"messages": None}, {"messages": [None, None]}, {"messages": [{"role": None, "content": None}]}, None, [[[None]]]],
    ASKED[2],
    CHATS,
)
def test_no_record_is_lost_and_none_ends_in_a_traceback(
    make_room: Callable[[str], Room], records: list[Any], asked: dict[str, Any], first: list[Any]
) -> None:
    counts = judged(make_room, "rows.jsonl", lines([*first, *records]), asked)
    assert counts is None or counts["read"] == 12 + len(records)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
@settings(SETTINGS, max_examples=25)
@given(data=st.data())
def test_no_damage_to_a_file_ends_in_a_traceback(
    make_room: Callable[[str], Room], name: str, data: st.DataObject
) -> None:
    content = bytearray(FILES[name])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content)))
        until = min(len(content), place + data.draw(st.sampled_from([0, 1, 1, 2, 40, 10_000])))
        content[place:until] = data.draw(st.binary(max_size=6))
    judged(make_room, name, bytes(content), data.draw(st.sampled_from(ASKED)))


def test_ten_thousand_levels_of_brackets_are_one_bad_row(make_room: Callable[[str], Room]) -> None:
    assert judged(make_room, "rows.jsonl", lines(ROWS) + b"[" * 10_000 + b"]" * 10_000, {})["refused"] == 1  # type: ignore[index]
