"""Benchmark items that stand in train rows are named, wherever they stand in them; what merely sounds like one is
not.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import polars as pl

from schemas.artifacts import DataArtifact, LeakageArtifact
from schemas.sources import BenchmarkSources, SourceFile
from tasks.data.locating import ROWS, locate_data
from tasks.data.overlap.benchmark_items import Cached
from tasks.data.overlap.near_rows import TWINS
from tasks.data.reading.records import READ
from tasks.data.task import check_leakage, validate_data
from tests.data.conftest import Room, sound_rows
from tests.data.overlap.test_near_duplicates import texts

ITEMS = [
    {"goal": text, "choices": {"text": [f"{text} one", "two"]}, "label": 0} for text in texts(300, words=12, seed=3)
]


def leakage(
    room: Room, rows: list[dict[str, Any]], *files: str, hub: dict[str, str] | None = None, cached: Cached | None = None
) -> tuple[LeakageArtifact, pl.DataFrame]:
    """Run the stage on rows that are all train rows; return its artifact and leaks.parquet."""
    folder = room.workdir.store.folder("work", "sealed")
    kinds = {"history": pl.List(pl.String)}
    frame = pl.DataFrame(
        [{"row_id": n, "history": [], "prompt": "p", "completion": "c", **row} for n, row in enumerate(rows, 1)],
        schema_overrides=kinds,
    )
    frame.write_parquet(folder / "train.parquet")
    pl.DataFrame(schema=TWINS).write_parquet(folder / "twins.parquet")
    facts = {"train_rows": len(rows), "held_out_rows": 0, "refused_rows": 0, "reasons": {}, "documents": 0}
    data = DataArtifact(digest=room.workdir.store.seal("data", folder), **facts)
    sources = [SourceFile(path=str(room.folder / name), digest="0", suffix=Path(name).suffix) for name in files]
    found = check_leakage.function(
        data, BenchmarkSources(names=("b",), files=tuple(sources), hub=hub or {}), cached or {}, workdir=room.workdir
    )
    return found, pl.read_parquet(room.workdir.out / "leaks.parquet")


def test_planted_items_are_named_by_row_and_item(room: Room) -> None:
    room.write(ITEMS, "items.jsonl")
    rows = [{"prompt": text, "completion": text[::-1]} for text in texts(200, seed=5)]
    rows[10]["prompt"] = f"Please tell me: {ITEMS[7]['goal'].upper()}?"
    rows[20]["completion"] = f"{rows[20]['completion']} {ITEMS[9]['goal']}"
    found, leaks = leakage(room, rows, "items.jsonl")
    assert leaks.select("row_id", "file", "item").rows() == [(11, "items.jsonl", 8), (21, "items.jsonl", 10)]
    assert (found.items, found.rows, found.unread) == (2, 2, ())
    assert any(
        "2 train rows (rows 11, 21) contain 2 benchmark items of items.jsonl (b)" in line
        for line in room.listener.lines
    )


def test_part_of_an_item_is_none_and_neither_is_a_short_one(room: Room) -> None:
    room.write([*ITEMS, {"goal": "how are you today"}], "items.jsonl")
    half = " ".join(ITEMS[0]["goal"].split()[:7])
    found, _ = leakage(room, [{"prompt": half}, {"prompt": "how are you today"}], "items.jsonl")
    assert (found.items, found.rows) == (0, 0)


def test_all_nearly_all_and_other_numbers_are_told_apart(room: Room) -> None:
    room.write(
        [{"text": f"{text} costs {n} and {n + 1} marks"} for n, text in enumerate(texts(60, words=20, seed=3))],
        "items.jsonl",
    )
    items = [line["text"] for line in pl.read_ndjson(room.folder / "items.jsonl").to_dicts()]
    near = " ".join(["other", *items[1].split()[1:]])
    valued = " ".join(
        word.replace("2", "77").replace("3", "99") if word.isdigit() else word for word in items[2].split()[-12:]
    )
    room.write([{"text": items[0]}, {"text": items[1]}, {"text": " ".join(items[2].split()[-12:])}], "items.jsonl")
    found, leaks = leakage(room, [{"prompt": f"so: {items[0]}"}, {"prompt": near}, {"prompt": valued}], "items.jsonl")
    assert leaks.select("row_id", "item", "kind").rows() == [(1, 1, "exact"), (2, 2, "near")]
    assert room.table("templates").select("row_id", "item", "kind").rows() == [(3, 3, "template")]
    assert json.loads((room.workdir.out / "leakage.json").read_text()) == {
        "train x items.jsonl": {"exact": 1, "near": 1, "template": 1, "items": 3}
    }
    assert (found.rows, found.items, found.templates) == (2, 2, 1)
    assert any(
        "1 train rows (row 3) match benchmark items (b) except for numbers or quoted texts" in line
        for line in room.listener.lines
    )


def test_files_of_one_name_are_told_apart_by_their_folders(room: Room) -> None:
    room.write(ITEMS[:5], "one/items.jsonl")
    room.write(ITEMS[5:10], "two/items.jsonl")
    _, leaks = leakage(room, [{"prompt": ITEMS[6]["goal"]}], "one/items.jsonl", "two/items.jsonl")
    assert leaks.select("file", "item").rows() == [("two/items.jsonl", 2)]


def test_what_every_item_says_is_no_leak(room: Room) -> None:
    frame = "answer the following question with one of the choices given below"
    room.write([{"text": f"{frame} {item['goal']}"} for item in ITEMS], "items.jsonl")
    found, _ = leakage(room, [{"prompt": frame}], "items.jsonl")
    assert found.rows == 0


def test_what_cannot_be_looked_at_is_said(room: Room) -> None:
    room.write(ITEMS[:1], "items.jsonl")
    room.write("broken", "items.parquet")
    room.write("x", "items.arrow")
    room.write("task: x", "task.yaml")
    found, _ = leakage(
        room, [{"prompt": "p"}], "items.jsonl", "items.parquet", "items.arrow", "task.yaml", hub={"ybisk/piqa": "1"}
    )
    assert found.unread == ("hub:ybisk/piqa", "items.parquet", "items.arrow")
    assert any("not examined: hub:ybisk/piqa" in line for line in room.listener.lines)


def test_hub_data_that_is_cached_here_is_looked_at(room: Room) -> None:
    path = room.folder / "ybisk___piqa" / "plain_text" / "1.1.0" / "abc" / "piqa-validation.arrow"
    path.parent.mkdir(parents=True)
    datasets.Dataset.from_list(ITEMS).map(writer_batch_size=100, cache_file_name=str(path))
    file = SourceFile(path=str(path), digest="0", suffix=".arrow")
    found, leaks = leakage(
        room,
        [{"prompt": "p"}, {"prompt": ITEMS[200]["goal"]}],
        hub={"ybisk/piqa": "abc"},
        cached={"ybisk/piqa": (file,)},
    )
    assert leaks.select("row_id", "file", "item").rows() == [
        (2, "hub:ybisk/piqa/plain_text/piqa-validation.arrow", 201)
    ]
    assert found.unread == ()


def test_only_train_rows_of_the_sealed_data_are_looked_at(room: Room) -> None:
    room.write([*sound_rows(60), *({"prompt": item["goal"], "completion": "x"} for item in ITEMS[:20])])
    config = room.config()
    data = validate_data(config.task, config.data, config.seed, locate_data(config, room.workdir.store))
    path = room.write(ITEMS, "items.jsonl")
    source = SourceFile(path=str(path), digest="0", suffix=".jsonl")
    found = check_leakage(data, BenchmarkSources(names=("b",), files=(source,)), {})
    train = pl.read_parquet(room.workdir.store.open(data.digest) / "train.parquet")
    assert 0 < found.rows == train.filter(pl.col("row_id") > 60).height < 20


def test_what_is_located_is_what_is_read() -> None:
    assert ROWS == READ
