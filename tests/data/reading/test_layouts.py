"""Each layout is told by its columns, and a record that does not fit is refused with what was wanted."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import DatasetRefused
from schemas.sections.data import DataConfig
from tasks.answers.contract import Breach
from tasks.data.checking.reasons import REASONS
from tasks.data.layouts.conversations import Turns
from tasks.data.layouts.converting import Converter
from tasks.data.layouts.layouts import named_layout
from tests.data.conftest import Room, sound_rows

PAIRS = [(f"question {n}?", f"answer {n}") for n in range(60)]
LAYOUTS: dict[str, Any] = {
    "prompt_completion": [{"prompt": ask, "completion": answer} for ask, answer in PAIRS],
    "messages": [
        {"messages": [{"role": "user", "content": ask}, {"role": "assistant", "content": answer}]}
        for ask, answer in PAIRS
    ],
    "sharegpt": [
        {"conversations": [{"from": "human", "value": ask}, {"from": "gpt", "value": answer}]} for ask, answer in PAIRS
    ],
    "alpaca": [{"instruction": ask, "input": "", "output": answer} for ask, answer in PAIRS],
}


def message(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_detected_and_said(room: Room, layout: str) -> None:
    room.write(LAYOUTS[layout])
    room.validate()
    kept = [*room.table("train").iter_rows(named=True), *room.table("held_out").iter_rows(named=True)]
    assert sorted((row["prompt"], row["completion"]) for row in kept) == sorted(PAIRS)
    assert any(line.endswith(f"60 rows, layout {layout}") for line in room.listener.lines)


def test_a_wrong_guess_can_be_overruled(room: Room) -> None:
    room.write([{**row, "instruction": f"do {n}", "output": f"done {n}"} for n, row in enumerate(sound_rows(60))])
    room.validate(layout="alpaca")
    assert room.table("train")["prompt"].str.starts_with("do ").all()


def test_a_file_without_the_layouts_column_is_refused(room: Room) -> None:
    room.write(LAYOUTS["alpaca"])
    with pytest.raises(DatasetRefused, match=r"has no column 'messages' \(data\.layout messages\)"):
        room.validate(layout="messages")


def test_input_and_output_alone_are_request_and_answer(room: Room) -> None:
    room.write([{"input": f"text {n}", "output": "short"} for n in range(60)])
    room.validate()
    assert room.table("train")["prompt"].str.starts_with("text ").all()
    assert any("layout prompt_completion (input -> output)" in line for line in room.listener.lines)


def test_an_alpaca_input_stands_below_its_instruction(room: Room) -> None:
    room.write([{"instruction": f"Sum up {n}.", "input": f"text {n}", "output": "short"} for n in range(60)])
    room.validate()
    assert room.table("train")["prompt"].str.contains(r"^Sum up (\d+)\.\n\ntext \d+$").all()


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        (
            [message("user", "a"), message("assistant", " "), message("user", "c"), message("assistant", "d")],
            "empty_turn",
        ),
        (
            [message("user", "a"), message("assistant", None), message("user", "c"), message("assistant", "d")],
            "empty_turn",
        ),
        (
            [message("user", "a\x00"), message("assistant", "b"), message("user", "c"), message("assistant", "d")],
            "control_characters",
        ),
        (
            [message("user", "cafÃ©"), message("assistant", "b"), message("user", "c"), message("assistant", "d")],
            "damaged_encoding",
        ),
        ([message("user", "a"), message("assistant", "b"), message("user", "c")], "wrong_roles"),
        (
            [message("user", "a"), message("system", "b"), message("user", "c"), message("assistant", "d")],
            "wrong_roles",
        ),
        ([message("assistant", "b"), message("user", "a")], "wrong_roles"),
        ([message("user", "a"), message("user", "b"), message("assistant", "c")], "wrong_roles"),
        ([message("user", "a")], "wrong_roles"),
        ([message("tool", "a"), message("assistant", "b")], "wrong_roles"),
        ([message("system", "a")], "wrong_roles"),
        ([], "wrong_roles"),
        ("text", "wrong_roles"),
        ([message("user", [1]), message("assistant", "b")], "not_text"),
        (["a", "b"], "not_text"),
        ([message("user", "a"), message("assistant", None)], "empty_answer"),
        ([message("system", "Sing."), message("user", "a"), message("assistant", "b")], "own_system_message"),
    ],
)
def test_a_conversation_that_is_no_row_is_refused(room: Room, messages: Any, reason: str) -> None:
    room.write([*LAYOUTS["messages"], {"messages": messages}])
    assert room.validate(refuse_above=0.1).reasons == {reason: 1}


def test_a_system_message_that_says_what_the_task_says_is_no_fault(room: Room) -> None:
    room.write([{"messages": [message("system", "answer!"), *row["messages"]]} for row in LAYOUTS["messages"]])
    assert room.validate().refused_rows == 0


def test_a_row_of_another_layout_is_refused_by_what_it_looks_like(room: Room) -> None:
    room.write([*LAYOUTS["messages"], LAYOUTS["alpaca"][0]])
    room.validate(refuse_above=0.1)
    assert room.table("refused")["detail"].to_list() == [
        "has no 'messages'; it looks like alpaca, but the file is messages"
    ]


def test_each_file_has_its_own_layout(room: Room) -> None:
    room.write(LAYOUTS["messages"][:30], "a.jsonl")
    room.write(LAYOUTS["alpaca"][30:], "b.jsonl")
    assert room.validate(source="*.jsonl").refused_rows == 0
    assert any("layout messages and alpaca" in line for line in room.listener.lines)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=3)
    | st.sampled_from(["user", "assistant", "system", "human", "gpt"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "content", "from", "value", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(
            ["messages", "conversations", "instruction", "input", "output", "prompt", "completion", "system"]
        ),
        ANYTHING,
    ),
    st.sampled_from(list(LAYOUTS)),
)
def test_any_record_becomes_texts_or_a_reason(record: dict[str, Any], layout: str) -> None:
    data = DataConfig(source="x")
    made = Converter(named_layout(layout, data), data)(record)
    if isinstance(made, Breach):
        assert made.reason in REASONS
    else:
        assert isinstance(made, Turns)
        assert all(isinstance(text, str | None) for text in (made.prompt, made.completion, made.given, made.system))


def test_parquet_columns_of_other_kinds_are_refused_row_by_row(room: Room) -> None:
    frame = pl.DataFrame({"prompt": [b"\xff bytes", b"\xff"], "completion": [[1], None]}, strict=False)
    frame.write_parquet(room.folder / "rows.parquet")
    with pytest.raises(DatasetRefused, match=r"refused: 2 of 2 rows\. not_text 2 \(rows 1, 2\)"):
        room.validate(source="rows.parquet")


def test_conversations_are_read_from_parquet_too(room: Room) -> None:
    pl.DataFrame(LAYOUTS["messages"]).write_parquet(room.folder / "rows.parquet")
    assert room.validate(source="rows.parquet").refused_rows == 0
