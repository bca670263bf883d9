"""Rows that wait on disk: read in pieces of any size they give the same sealed rows, and nothing is left behind."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import DatasetRefused
from tasks.data.checking.sieve import Sieve
from tasks.data.locating import locate_data
from tasks.data.overlap.repeats import repeated
from tasks.data.preparing import _compact
from tasks.data.reading.spool import KEPT, NormalisedRequests, frames_in, spooling
from tasks.data.task import validate_data
from tests.data.conftest import Room, sound_rows
from tests.data.overlap.test_near_duplicates import texts

TABLES = ("train", "held_out", "refused", "notes")


def mixed_rows(count: int) -> list[dict[str, str]]:
    """Return rows of which some are empty, repeated, in conflict, nearly alike, or asked on both sides of the split."""
    draw, said = random.Random(5), texts(count, words=30)
    rows = [
        {"prompt": text, "completion": draw.choice(["left", "right"]), "group": f"g{draw.randrange(count // 4)}"}
        for text in said
    ]
    for place in range(10, count, 7):
        kind, other = draw.randrange(4), rows[draw.randrange(place)]
        near = " ".join([*other["prompt"].split()[:-1], "changed"])
        rows[place] |= [
            {"prompt": " "},
            {**other, "group": rows[place]["group"]},
            {"prompt": other["prompt"]},
            {"prompt": near},
        ][kind]
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("piece", [5, 64])
@pytest.mark.parametrize("group", [None, "group"])
def test_the_size_of_a_piece_changes_nothing_that_is_sealed(
    make_room: Callable[[str], Room], monkeypatch: pytest.MonkeyPatch, piece: int, group: str | None
) -> None:
    choice = {"answer": {"format": "choice", "labels": ["left", "right"]}}
    whole, parts = make_room("whole"), make_room("parts")
    facts = []
    for room in (whole, parts):
        room.write(mixed_rows(200), "a.jsonl")
        room.write(sound_rows(30), "b.jsonl")
        facts.append(
            room.validate(
                choice,
                source="*.jsonl",
                group=group,
                refuse_above=0.9,
                checks={"conflicting_answers": "note", "exact_duplicate": "note"},
            )
        )
        monkeypatch.setattr("tasks.data.reading.frames.CHUNK", piece)
        monkeypatch.setattr("tasks.data.overlap.near_duplicates.CHUNK", piece)
        monkeypatch.setattr("tasks.data.overlap.near_duplicates.FETCHED", piece)
        monkeypatch.setattr("tasks.data.overlap.near_duplicates.COMPARED", piece)
    assert facts[0] == facts[1]
    assert {"near_duplicate", "conflicting_answers", "exact_duplicate", "label_doubt"} <= set(whole.report()["noted"])
    assert ("in_held_out" in whole.report()["taken_out"]) == (group is not None)
    for name in TABLES:
        assert whole.table(name).equals(parts.table(name))
    assert whole.report() == parts.report()


@pytest.mark.slow
def test_a_row_taken_out_late_is_listed_with_its_own_texts(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.data.reading.frames.CHUNK", 9)
    rows = mixed_rows(200)
    room.write(rows)
    room.validate(group="group", refuse_above=0.9, checks={"exact_duplicate": "note", "near_held_out": "drop"})
    late = room.table("refused").filter(pl.col("reason").is_in(["conflicting_answers", "in_held_out", "near_held_out"]))
    assert late["reason"].n_unique() == 3
    for row in late.iter_rows(named=True):
        source = rows[row["row_id"] - 1]
        assert source["prompt"].startswith(row["prompt"].removesuffix("…"))
        assert (row["completion"], row["line"], row["file"]) == (source["completion"], row["row_id"], "rows.jsonl")


def test_what_stays_in_memory_of_a_row_is_as_many_bytes_as_is_told(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    room.write([{**row, "name": str(n)} for n, row in enumerate(sound_rows(2000))])
    config = room.config(id="name")
    compacted: list[pl.DataFrame] = []

    def kept(*given: Any) -> pl.DataFrame:
        compacted.append(_compact(*given))
        return compacted[-1]

    monkeypatch.setattr("tasks.data.preparing._compact", kept)
    validate_data.function(
        config.task, config.data, config.seed, locate_data(config, room.workdir.store), workdir=room.workdir
    )
    assert compacted[0].estimated_size() / 2000 == pytest.approx(80, abs=1)


def held_bytes(texts: pl.Series) -> int:
    """Return the size of everything that a column of texts keeps in memory."""
    return sum(
        buffer.size
        for chunk in texts.get_chunks()
        for buffer in chunk.to_arrow(compat_level=pl.CompatLevel.newest()).buffers()
        if buffer
    )


def test_few_rows_do_not_keep_the_texts_of_all_in_memory(tmp_path: Path) -> None:
    many = pl.DataFrame(
        {
            "row_id": range(1000),
            "prompt": ["long " * 100] * 1000,
            "completion": ["x" * 50] * 1000,
            "file": ["a long name of a file"] * 1000,
        }
    )
    many = many.with_columns(line="row_id", reason=pl.lit("empty_answer"), detail=pl.col("prompt"))
    sieve = Sieve(many, {}, 1000)
    sieve.sift(many[[3, 500]])
    assert all(held_bytes(sieve.found[0][name]) < 5000 for name in ("prompt", "completion", "file", "detail"))
    with spooling(tmp_path / "spool") as spool:
        for start in (0, 500):
            spool.add(
                many[start : start + 500].with_columns(
                    [pl.lit("x").alias(name) for name in (*KEPT, "normalised") if name not in many.columns]
                )
            )
        assert held_bytes(spool.rows_at(np.array([3, 700]), "prompt")["prompt"]) < 5000


def test_nothing_of_the_spool_is_left_when_the_rows_are_refused(room: Room) -> None:
    room.write([*sound_rows(30), {"prompt": "", "completion": "x"}])
    with pytest.raises(DatasetRefused):
        room.validate(refuse_above=0)
    assert sorted(path.name for path in room.workdir.folder.iterdir()) == ["out", "refused.html", "refused.parquet"]


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=6), st.data())
def test_texts_come_back_from_any_places_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], data: st.DataObject
) -> None:
    with spooling(tmp_path_factory.getbasetemp() / "spool") as spool:
        every: list[str] = []
        for size in sizes:
            said = [f"text {len(every) + n}" for n in range(size)]
            rows = pl.DataFrame(
                {"normalised": said, "row_id": range(size)}, schema={"normalised": pl.String, "row_id": pl.Int64}
            )
            filled = rows.with_columns([pl.lit("x").alias(name) for name in KEPT if name != "row_id"])
            assert spool.add(filled).to_list() == list(range(len(every), len(every) + size))
            every += said
        wanted = data.draw(st.lists(st.integers(0, len(every) - 1))) if every else []
        requests = NormalisedRequests(spool, pl.Series(range(len(every)), dtype=pl.UInt32))
        found = requests.gather(np.array(wanted, dtype=np.int64))
        assert found.to_list() == [every[place] for place in wanted]


@settings(deadline=None)
@given(st.lists(st.integers(0, 6)))
def test_repeated_values_are_those_that_are_there_twice(values: list[int]) -> None:
    assert repeated(np.array(values, dtype=np.uint64)).tolist() == [
        place for place, value in enumerate(values) if values.count(value) > 1
    ]


def test_a_sealed_file_is_read_in_its_order_and_only_the_columns_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.data.reading.spool.BATCH", 7)
    frame = pl.DataFrame({"row_id": range(20), "prompt": [f"p{n}" for n in range(20)]})
    frame.write_parquet(tmp_path / "rows.parquet")
    frames = list(frames_in(tmp_path / "rows.parquet", "prompt"))
    assert [part.height for part in frames] == [7, 7, 6]
    assert pl.concat(frames).equals(frame.select("prompt"))
