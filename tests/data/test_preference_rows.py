"""Rows with chosen and rejected answers, labels and weights: refused, or learned as training.objective says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from schemas.errors import DatasetRefused
from tasks.data.locating import locate_data
from tasks.data.task import validate_data
from tests.data.conftest import Room

Row = dict[str, Any]


def turn(role: str, text: str) -> Row:
    return {"role": role, "content": text}


LAYOUTS: dict[str, Callable[[str, str, str], Row]] = {
    "explicit": lambda ask, good, bad: {"prompt": ask, "chosen": good, "rejected": bad},
    "explicit messages": lambda ask, good, bad: {
        "prompt": [turn("user", ask)],
        "chosen": [turn("assistant", good)],
        "rejected": [turn("assistant", bad)],
    },
    "implicit": lambda ask, good, bad: {
        "chosen": [turn("user", ask), turn("assistant", good)],
        "rejected": [turn("user", ask), turn("assistant", bad)],
    },
    "sharegpt": lambda ask, good, bad: {
        "conversations": [{"from": "human", "value": ask}],
        "chosen": {"from": "gpt", "value": good},
        "rejected": {"from": "gpt", "value": bad},
    },
    "alpaca": lambda ask, good, bad: {"instruction": ask, "input": "", "chosen": good, "rejected": bad},
    "ms-swift": lambda ask, good, bad: {
        "messages": [turn("user", ask), turn("assistant", good)],
        "rejected_response": bad,
    },
    "ultrafeedback": lambda ask, good, bad: {
        "prompt": ask,
        "messages": [turn("user", ask), turn("assistant", good)],
        "chosen": [turn("user", ask), turn("assistant", good)],
        "rejected": [turn("user", ask), turn("assistant", bad)],
    },
}
TEXTS = [(f"where is bike number {n}?", f"On stand {n}.", f"Nobody knows {n}.") for n in range(24)]


def prepared(room: Room, objective: str | None, **data: Any) -> pl.DataFrame:
    """Return all kept rows."""
    config = room.config(None, held_out=0.5, **data)
    sources = locate_data(config, room.workdir.store)
    validate_data.function(config.task, config.data, config.seed, sources, "off", objective, workdir=room.workdir)
    sides = [pl.read_parquet(room.workdir.out / f"{side}.parquet") for side in ("train", "held_out")]
    return pl.concat(sides, how="diagonal").sort("row_id")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_pair_says_the_same_in_every_layout(room: Room, layout: str) -> None:
    room.write([LAYOUTS[layout](*texts) for texts in TEXTS])
    rows = prepared(room, "dpo")
    assert list(zip(rows["prompt"], rows["completion"], rows["rejected"], strict=True)) == TEXTS
    assert "rejected" not in prepared(room, "sft").columns


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pairs_are_refused_with_the_setting_while_no_objective_says_what_to_do(room: Room, layout: str) -> None:
    room.write([LAYOUTS[layout](*texts) for texts in TEXTS])
    with pytest.raises(DatasetRefused, match="preference 24"):
        prepared(room, None)
    refused = pl.read_parquet(room.workdir.folder / "refused.parquet")
    assert "training.objective" in refused["mend"][0]


@pytest.mark.parametrize("objective", ["dpo", "orpo"])
def test_a_row_without_a_pair_is_refused_where_answers_are_compared(room: Room, objective: str) -> None:
    rows = [LAYOUTS["explicit"](*texts) for texts in TEXTS]
    room.write([*rows, {"prompt": "where is my helmet?", "chosen": "Here.", "rejected": None}])
    assert prepared(room, objective, refuse_above=0.1).height == 24
    assert room.table("refused")["reason"].to_list() == ["preference"]


def test_an_answer_may_be_preferred_to_several(room: Room) -> None:
    rows = [LAYOUTS["explicit"](*texts) for texts in TEXTS]
    room.write([*rows, {**rows[3], "rejected": "No idea."}, rows[4]])
    assert prepared(room, "dpo").height == 25
    assert room.table("refused")["reason"].to_list() == ["exact_duplicate"]


def labelled(n: int, label: Any) -> Row:
    ask, good, bad = TEXTS[n]
    return {"prompt": ask, "completion": good if label else bad, "label": label}


def test_an_unwanted_answer_is_compared_with_and_never_held_out_or_learned(room: Room) -> None:
    room.write([labelled(n, label) for n in range(24) for label in (True, False)])
    rows = prepared(room, "kto")
    assert rows["completion"].to_list() == [good for _, good, _ in TEXTS]
    unwanted = room.table("unwanted")
    held_out = set(room.table("held_out")["prompt"])
    assert set(unwanted["completion"]) <= {bad for _, _, bad in TEXTS}
    assert set(unwanted["prompt"]) == {ask for ask, _, _ in TEXTS} - held_out
    assert held_out


def test_labels_of_unwanted_answers_are_refused_without_an_objective_and_left_out_by_sft(room: Room) -> None:
    room.write([labelled(n, n % 4 != 0) for n in range(24)])
    with pytest.raises(DatasetRefused, match="preference 6"):
        prepared(room, None)
    assert prepared(room, "sft").height == 18
    assert room.table("refused")["reason"].unique().to_list() == ["unwanted_answer"]
    assert not (room.workdir.out / "unwanted.parquet").exists()


def test_kto_is_refused_where_there_is_nothing_to_compare_with(room: Room) -> None:
    room.write([labelled(n, True) for n in range(24)])
    with pytest.raises(DatasetRefused, match='objective "kto" compares wanted with unwanted answers'):
        prepared(room, "kto")


def test_personal_data_in_a_rejected_answer_takes_its_row_out(room: Room) -> None:
    rows = [LAYOUTS["explicit"](*texts) for texts in TEXTS]
    room.write([*rows, {"prompt": "my card?", "chosen": "Never.", "rejected": "It is 4111 1111 1111 1111."}])
    assert prepared(room, "dpo", refuse_above=0.1).height == 24
    assert room.table("refused")["reason"].to_list() == ["card_number"]


def test_a_weight_is_kept_and_one_of_all_rows_is_no_column(room: Room) -> None:
    room.write([{"prompt": ask, "completion": good, "weight": (1, 0.5)[int(good[9:-1]) % 2]} for ask, good, _ in TEXTS])
    assert prepared(room, None)["weight"].to_list() == [None, 0.5] * 12
    room.write([{"prompt": ask, "completion": good, "weight": 1} for ask, good, _ in TEXTS])
    assert "weight" not in prepared(room, None).columns


def test_weights_of_a_row_and_of_its_last_turn_multiply(room: Room) -> None:
    def row(ask: str, good: str) -> Row:
        later = [turn("user", "sure?"), {**turn("assistant", "no"), "train": False}]
        return {"messages": [turn("user", ask), {**turn("assistant", good), "weight": 0.5}, *later], "weight": 0.5}

    room.write([row(ask, good) for ask, good, _ in TEXTS])
    rows = prepared(room, None)
    assert rows["completion"].to_list() == [good for _, good, _ in TEXTS]
    assert set(rows["weight"]) == {0.25}
