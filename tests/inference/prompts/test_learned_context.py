"""Train rows show what the arm that the adapter is measured as will show, and never their own group."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from schemas.config import RunConfig
from schemas.sections.arms import RetrievalConfig
from tasks.arms.prompting import context_of
from tasks.arms.settings import arm_settings
from tasks.inference.prompts.prompt_builder import PromptBuilder, Request
from tasks.inference.prompts.rendering import row_messages
from tasks.inference.prompts.retrieval_index import retrieved_from, with_retrieved

ROWS = pl.DataFrame(
    {
        "row_id": range(1, 7),
        "history": [[]] * 4 + [["which lakes?", "none"]] * 2,
        "prompt": ["how deep is the lake?", "how deep is a lake", "why hills?", "who rows?", "and hills?", "zebra"],
        "completion": ["9 m", "9 m", "ice", "Ann", "two", "no"],
        "group": ["deep", "deep", "a", "b", "c", "d"],
    },
    schema_overrides={"history": pl.List(pl.String)},
)
DOCUMENTS = {"document": ["x", "y"], "text": ["A lake is 9 m deep.", "Hills were made by ice."]}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    ROWS.write_parquet(tmp_path / "train.parquet")
    pl.DataFrame(DOCUMENTS).write_parquet(tmp_path / "corpus.parquet")
    return tmp_path


def run_config(**sections: Any) -> RunConfig:
    whole = {"name": "t", "task": {"instruction": "?"}, "data": {"source": "a"}, "base": {"model": "m"}}
    return RunConfig.model_validate(whole | {"registry": {"model": "m"}} | sections)


@pytest.mark.parametrize("words", [120, None])
def test_a_row_is_learned_as_tuned_retrieval_asks_it(data: Path, words: int | None) -> None:
    arms = run_config(arms={"retrieval": {"top_k": 2}}).arms
    asked = PromptBuilder("Be brief.", context_of(arm_settings("tuned_retrieval", arms, words is not None), data, 7))
    held_out = pl.DataFrame({"history": [["which lakes?", "none"]], "prompt": ["how deep?"], "group": ["new"]})
    (row,) = with_retrieved(held_out, retrieved_from(data, 2, words)).iter_rows(named=True)
    learned = row_messages("Be brief.", row["prompt"], row["history"])
    assert learned == asked.build(Request("how deep?", ("which lakes?", "none")))
    assert len(learned[1:]) > 3 or "9 m deep" in row["prompt"]


def test_of_train_rows_none_of_the_rows_own_group_is_shown(data: Path) -> None:
    learned = with_retrieved(ROWS, retrieved_from(data, 2, None))
    assert not any({"how deep is the lake?", "how deep is a lake"} & set(shown) for shown in learned["history"][:2])
    assert learned["history"][4].to_list()[-2:] == ["which lakes?", "none"]
    assert learned["history"][4].len() == 2 + 2 * 2 + 2, "two examples, one of them with turns before it"
    assert learned["prompt"].to_list() == ROWS["prompt"].to_list()


def test_passages_that_do_not_answer_stand_beside_the_one_that_does(data: Path) -> None:
    rows = ROWS.with_columns(prompt=pl.lit("is the lake by the hills deep?"))
    shown = with_retrieved(rows, retrieved_from(data, 2, 120))["prompt"][0]
    assert all(text in shown for text in DOCUMENTS["text"])


def test_rows_stand_alone_unless_the_config_says_otherwise_and_shots_do_not_train_again() -> None:
    assert run_config().learned_context is None
    with_shots = run_config(
        training={"context": "retrieval"},
        arms={"retrieval": {"top_k": 3, "shots": 2}},
        data={"source": "a", "corpus": "b"},
    )
    assert with_shots.learned_context == RetrievalConfig(top_k=3)
    assert run_config(training={"context": "retrieval"}, arms={"trained": []}).learned_context is None


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"training": {"context": "retrieval"}, "arms": {"trained": ["tuned"]}}, "add it to arms.trained"),
        ({"training": {"context": "passages"}}, "'none' or 'retrieval'"),
        ({"arms": {"retrieval": {"language": "klingon"}}}, "'characters'"),
    ],
)
def test_a_setting_that_nothing_is_measured_by_or_that_does_not_exist_is_refused(
    sections: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        run_config(**sections)
