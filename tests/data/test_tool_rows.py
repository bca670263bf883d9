"""Rows with tools, from the source to train.parquet: calls, results, and the tools that are offered."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest

from schemas.errors import DatasetRefused
from tests.data.conftest import Room

FIND = {"name": "find", "description": "looks a bike up", "parameters": {"type": "object"}}
TOOL = {"type": "function", "function": FIND}
CALLING = {"task": {"answer": {"format": "tool_call"}, "metric": "tool_call"}}


def call(number: int, as_text: bool = True) -> dict[str, Any]:
    arguments: Any = {"number": number}
    return {"name": "find", "arguments": json.dumps(arguments) if as_text else arguments}


def asked(number: int) -> dict[str, Any]:
    return {"role": "user", "content": f"where is bike number {number}?"}


LAYOUTS = {
    "openai": lambda n: {
        "messages": [
            asked(n),
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "a", "type": "function", "function": call(n)}],
            },
        ],
        "tools": [TOOL],
    },
    "legacy": lambda n: {
        "messages": [asked(n), {"role": "assistant", "content": "", "function_call": call(n)}],
        "functions": [FIND],
    },
    "sharegpt": lambda n: {
        "conversations": [
            {"from": "human", "value": asked(n)["content"]},
            {"from": "function_call", "value": json.dumps(call(n, as_text=False))},
        ],
        "tools": json.dumps([FIND]),
    },
    "columns": lambda n: {"query": asked(n)["content"], "answers": json.dumps([call(n, False)]), "tools": [FIND]},
    "call column": lambda n: {"prompt": asked(n)["content"], "tool_calls": [{"function": call(n)}], "tools": [TOOL]},
}


def kept(room: Room) -> pl.DataFrame:
    both = [pl.read_parquet(room.workdir.out / f"{side}.parquet") for side in ("train", "held_out")]
    return pl.concat(both).sort("row_id")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_call_that_is_the_answer_says_the_same_in_every_layout(room: Room, layout: str) -> None:
    room.write([LAYOUTS[layout](n) for n in range(12)])
    assert room.validate(held_out=0.5, **CALLING).refused_rows == 0
    rows = kept(room)
    assert [json.loads(answer) for answer in rows["completion"]] == [call(n, as_text=False) for n in range(12)]
    assert {json.dumps(json.loads(tools)) for tools in rows["tools"]} == {json.dumps([TOOL])}
    assert rows["prompt"].to_list() == [asked(n)["content"] for n in range(12)]


def test_a_call_that_no_answer_may_be_is_refused_with_the_setting(room: Room) -> None:
    room.write([LAYOUTS["openai"](n) for n in range(12)])
    with pytest.raises(DatasetRefused, match="tools 12"):
        room.validate(held_out=0.5)
    refused = pl.read_parquet(room.workdir.folder / "refused.parquet")
    assert 'task.answer.format is not "tool_call"' in refused["detail"][0]
    assert "task.answer.format to tool_call" in refused["mend"][0]


def test_the_tasks_tools_are_offered_in_rows_that_have_none(room: Room) -> None:
    room.write(json.dumps([TOOL]), "tools.json")
    room.write([{"prompt": f"where is bike {n}?", "completion": f"On stand {n}."} for n in range(12)])
    task = {"answer": {"format": "tool_call", "tools": "tools.json"}, "metric": "tool_call"}
    room.validate(task=task, held_out=0.5)
    assert set(kept(room)["tools"]) == {json.dumps([TOOL])}


def test_rows_without_tools_have_no_column_for_them(room: Room) -> None:
    room.write([{"prompt": f"where is bike {n}?", "completion": f"On stand {n}."} for n in range(12)])
    room.validate(held_out=0.5)
    assert "tools" not in kept(room).columns


def test_results_of_calls_stand_in_the_users_place(room: Room) -> None:
    def row(n: int) -> dict[str, Any]:
        first = LAYOUTS["openai"](n)
        results = [
            {"role": "tool", "tool_call_id": "a", "content": f"stand {n}"},
            {"role": "tool", "content": {"x": n}},
        ]
        return {**first, "messages": [*first["messages"], *results, {"role": "assistant", "content": f"On {n}."}]}

    room.write([row(n) for n in range(12)])
    room.validate(held_out=0.5)
    rows = kept(room)
    assert rows["completion"][3] == "On 3."
    assert json.loads(rows["prompt"][3]) == {"tool_results": ["stand 3", '{"x": 3}']}
    assert rows["history"][3].to_list() == [asked(3)["content"], json.dumps(call(3, as_text=False))]
