"""Reasoning traces of rows: refused by name, learned, or left out, as base.thinking and data.checks say."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from schemas.errors import DatasetRefused
from tasks.data.locating import locate_data
from tasks.data.task import validate_data
from tests.data.conftest import Room

LAYOUTS = {
    "inline": lambda n: {"prompt": f"what is {n} and {n}?", "completion": f"<think>\nadd {n}\n</think>\n\n{n % 3}"},
    "key": lambda n: {
        "messages": [
            {"role": "user", "content": f"what is {n} and {n}?"},
            {"role": "assistant", "reasoning_content": f"add {n}", "content": str(n % 3)},
        ]
    },
    "column": lambda n: {"question": f"what is {n} and {n}?", "reasoning": f"add {n}", "answer": str(n % 3)},
}
CHOICE = {"answer": {"format": "choice", "labels": ["0", "1", "2"]}, "metric": "choice"}


def prepared(room: Room, thinking: str, **data: Any) -> pl.DataFrame:
    """Return all kept rows."""
    config = room.config(CHOICE, held_out=0.5, **data)
    sources = locate_data(config, room.workdir.store)
    validate_data.function(config.task, config.data, config.seed, sources, thinking, workdir=room.workdir)
    sides = [pl.read_parquet(room.workdir.out / f"{side}.parquet") for side in ("train", "held_out")]
    return pl.concat(sides, how="diagonal").sort("row_id")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_trace_is_learned_beside_the_answer_and_is_no_part_of_it(room: Room, layout: str) -> None:
    room.write([LAYOUTS[layout](n) for n in range(24)])
    rows = prepared(room, "on")
    assert rows["completion"].to_list() == [str(n % 3) for n in range(24)]
    assert rows["trace"].to_list() == [f"add {n}" for n in range(24)]
    assert any("train rows have a reasoning trace, which is learned" in line for line in room.listener.lines)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_trace_is_refused_while_thinking_is_off_with_the_setting_that_learns_it(room: Room, layout: str) -> None:
    room.write([LAYOUTS[layout](n) for n in range(24)])
    with pytest.raises(DatasetRefused, match="reasoning_trace 24"):
        prepared(room, "off")
    refused = pl.read_parquet(room.workdir.folder / "refused.parquet")
    assert "base.thinking to on" in refused["mend"][0]


def test_an_answer_is_learned_without_its_trace_where_that_is_only_noted(room: Room) -> None:
    room.write([LAYOUTS["inline"](n) for n in range(24)])
    rows = prepared(room, "off", checks={"reasoning_trace": "note"})
    assert rows["completion"].to_list() == [str(n % 3) for n in range(24)]
    assert "trace" not in rows.columns


def test_traces_of_earlier_turns_stay_only_where_they_are_kept(room: Room) -> None:
    def turns(n: int) -> dict[str, Any]:
        first = LAYOUTS["key"](n)["messages"]
        return {"messages": [*first, {"role": "user", "content": "sure?"}, {"role": "assistant", "content": "1"}]}

    room.write([turns(n) for n in range(24)])
    assert prepared(room, "on")["history"][5][1] == "2"
    assert prepared(room, "keep")["history"][5][1] == "<think>\nadd 5\n</think>\n\n2"


@pytest.mark.parametrize("thinking", ["off", "on", "keep"])
def test_an_empty_trace_is_none_and_one_without_an_end_is_refused(room: Room, thinking: str) -> None:
    rows = [{"prompt": f"what is {n} and {n}?", "completion": f"<think>\n\n</think>\n\n{n % 3}"} for n in range(23)]
    room.write([*rows, {"prompt": "what is 1?", "completion": "<think>\nhm"}])
    kept = prepared(room, thinking, refuse_above=0.1)
    assert kept["completion"].to_list() == [str(n % 3) for n in range(23)]
    assert "trace" not in kept.columns
    assert room.table("refused")["detail"].to_list() == ["the answer begins with a reasoning trace that does not end"]
