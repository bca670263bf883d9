"""What each arm says to the model."""

from __future__ import annotations

from pathlib import Path

import polars
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import ConfigRefused
from schemas.sections.arms import ArmsConfig, FewShotConfig, RetrievalConfig
from tasks.arms.prompting import context_of, spread
from tasks.arms.settings import arm_settings
from tasks.inference.prompts.prompt_builder import PromptBuilder, Request
from tasks.inference.prompts.retrieval_index import TrainRow

TRAIN = [
    TrainRow(Request(f"question about {word}"), f"answer {word}", place, f"g{place // 3}")
    for place, word in enumerate(["rivers", "hills", "lakes", "towns", "roads", "ports"])
]
ARMS = ArmsConfig(few_shot=FewShotConfig(shots=3), retrieval=RetrievalConfig(top_k=2))
PASSAGES_ONLY = ARMS.model_copy(update={"retrieval": RetrievalConfig(top_k=2, shots=0)})
CORPUS = {"trees.md": "oak and elm on hills", "water.md": "rivers run to lakes", "rest.md": "towns of the kind"}
Said = list[dict[str, str]]


class Desk:
    """Sealed rows, and with `corpus` documents, that arms speak from."""

    def __init__(self, folder: Path, corpus: dict[str, str] | None = None, train: list[TrainRow] = TRAIN) -> None:
        self.folder, self.has_documents = folder, corpus is not None
        rows = [
            {
                "row_id": row.row_id,
                "history": list(row.request.history),
                "prompt": row.request.prompt,
                "completion": row.completion,
                "group": row.group,
            }
            for row in train
        ]
        polars.DataFrame(rows, schema_overrides={"history": polars.List(polars.String)}).write_parquet(
            folder / "train.parquet"
        )
        if corpus is not None:
            polars.DataFrame({"document": list(corpus), "text": list(corpus.values())}).write_parquet(
                folder / "corpus.parquet"
            )

    def say(self, arm: str, *requests: str, history: tuple[str, ...] = (), arms: ArmsConfig = ARMS) -> list[Said]:
        prompts = PromptBuilder("Be brief.", context_of(arm_settings(arm, arms, self.has_documents), self.folder, 7))
        return [prompts.build(Request(request, history)) for request in requests]


@pytest.fixture
def rows(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def documents(tmp_path: Path) -> Desk:
    return Desk(tmp_path, CORPUS)


def test_the_zero_shot_arms_say_the_instruction_and_the_request_and_nothing_else(rows: Desk) -> None:
    for arm in ("prompt", "tuned"):
        assert rows.say(arm, "why?") == [
            [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "why?"}]
        ]


def test_every_request_of_the_few_shot_arm_follows_the_same_turns(rows: Desk) -> None:
    one, other = rows.say("few_shot", "why?", "how?")
    assert one[:-1] == other[:-1]
    assert [message["role"] for message in one] == ["system", *["user", "assistant"] * 3, "user"]


@pytest.mark.parametrize("arm", ["retrieval", "tuned_retrieval"])
def test_the_retrieved_example_that_is_nearest_stands_next_to_the_request(rows: Desk, arm: str) -> None:
    (turns,) = rows.say(arm, "tell me about lakes and a question of towns and lakes")
    assert turns[-2]["content"] == "answer lakes"
    assert turns[-1]["content"].startswith("tell me")
    assert len(turns) == 6


def test_passages_stand_above_the_request_without_marks_that_a_model_could_copy(documents: Desk) -> None:
    (said,) = documents.say("tuned_retrieval", "which lakes?")
    assert said == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Use these passages where they help:\n\nrivers run to lakes\n\nwhich lakes?"},
    ]


def test_each_example_of_the_few_shot_arm_stands_below_its_own_passages_exactly_as_a_request_does(
    documents: Desk,
) -> None:
    (few_shot,), (retrieval,) = documents.say("few_shot", "which lakes?"), documents.say("retrieval", "which lakes?")
    asked = [message["content"] for message in few_shot if message["role"] == "user"]
    alone = [documents.say("tuned_retrieval", request)[0][-1] for request in asked]
    assert [message for message in retrieval if message["role"] == "user"] == alone
    assert [message for message in retrieval if message["role"] == "assistant"] == few_shot[2:-1:2]
    assert sum(message["content"].startswith("Use these passages") for message in retrieval[:-1]) == 2


def test_what_is_the_same_for_every_request_stands_before_what_was_retrieved_for_it(documents: Desk) -> None:
    lakes, oaks = documents.say("retrieval", "which lakes?", "an oak?")
    assert lakes[:-1] == oaks[:-1] and len(lakes) == 1 + 2 * 3 + 1
    assert "rivers run" in lakes[-1]["content"] and "oak and elm" in oaks[-1]["content"]


def test_fewer_examples_beside_passages_are_the_first_of_the_few_shot_arms_and_none_is_allowed(documents: Desk) -> None:
    one = ARMS.model_copy(update={"retrieval": RetrievalConfig(top_k=2, shots=1)})
    (shown,), (all_of_them,) = (documents.say("retrieval", "which lakes?", arms=arms) for arms in (one, ARMS))
    assert shown == [*all_of_them[:3], all_of_them[-1]]
    assert documents.say("retrieval", "which lakes?", arms=PASSAGES_ONLY) == documents.say(
        "tuned_retrieval", "which lakes?"
    )


def test_a_request_that_nothing_is_found_for_is_asked_as_the_arm_without_passages_asks_it(documents: Desk) -> None:
    assert documents.say("retrieval", "zebra")[0][-1] == documents.say("few_shot", "zebra")[0][-1]
    assert documents.say("tuned_retrieval", "zebra") == documents.say("tuned", "zebra")


@pytest.mark.parametrize("arm", ["prompt", "few_shot", "retrieval", "tuned_retrieval"])
def test_what_was_said_before_stands_right_before_the_request_in_every_arm(rows: Desk, arm: str) -> None:
    (messages,) = rows.say(arm, "and the towns?", history=("where are the lakes?", "in the north"))
    assert [message["content"] for message in messages[-3:]] == [
        "where are the lakes?",
        "in the north",
        "and the towns?",
    ]
    assert [message["role"] for message in messages] == [
        "system",
        *["user", "assistant"] * ((len(messages) - 2) // 2),
        "user",
    ]


def test_a_passage_is_found_by_what_was_said_before_and_stands_with_the_last_request(documents: Desk) -> None:
    (messages,) = documents.say("retrieval", "how deep?", history=("tell me of lakes", "they are wide"))
    assert [message["content"] for message in messages[-3:-1]] == ["tell me of lakes", "they are wide"]
    assert "rivers run" in messages[-1]["content"] and messages[-1]["content"].endswith("\n\nhow deep?")


def test_an_example_of_several_turns_is_shown_with_all_of_them(tmp_path: Path) -> None:
    desk = Desk(tmp_path, train=[TrainRow(Request("and there?", ("here?", "no")), "yes", 1, "g")])
    (messages,) = desk.say("few_shot", "why?", arms=ArmsConfig(few_shot=FewShotConfig(shots=1)))
    assert [message["content"] for message in messages] == ["Be brief.", "here?", "no", "and there?", "yes", "why?"]


@pytest.mark.parametrize(
    ("arm", "arms", "told"),
    [
        ("few_shot", ArmsConfig(), "arms.few_shot.shots: 8 requested, but there are only 6 train rows"),
        (
            "retrieval",
            ArmsConfig(retrieval=RetrievalConfig(top_k=2, shots=7)),
            "arms.retrieval.shots: 7 requested, but there are only 6 train rows",
        ),
        (
            "tuned_retrieval",
            ArmsConfig(),
            "arms.retrieval.top_k: 4 requested, but there are only 3 passages in the corpus",
        ),
    ],
)
def test_more_than_there_is_to_show_is_refused_by_the_settings_name(
    documents: Desk, arm: str, arms: ArmsConfig, told: str
) -> None:
    with pytest.raises(ConfigRefused, match=told):
        documents.say(arm, "why?", arms=arms)


@given(st.integers(0, 1000), st.integers(1, 6))
def test_shots_come_from_as_many_groups_as_possible_and_are_the_same_for_the_same_seed(seed: int, shots: int) -> None:
    picked = spread(TRAIN, shots, seed)
    assert picked == spread(TRAIN[::-1], shots, seed)
    assert picked == spread(TRAIN, 6, seed)[:shots]
    assert len({row.row_id for row in picked}) == shots
    assert len({row.group for row in picked}) == min(shots, 2)


def test_another_seed_picks_other_shots() -> None:
    assert len({tuple(row.row_id for row in spread(TRAIN, 3, seed)) for seed in range(20)}) > 1
