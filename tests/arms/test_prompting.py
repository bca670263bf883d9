"""What each arm says to the model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.config import ArmsConfig, FewShotConfig, RetrievalConfig
from tasks.arms.prompting import Example, Request, prompts_of, spread
from tasks.arms.retrieval import Passage
from tasks.arms.slicing import arm_slice

TRAIN = [
    Example(place, Request(f"question about {word}"), f"answer {word}", f"g{place // 3}")
    for place, word in enumerate(["rivers", "hills", "lakes", "towns", "roads", "ports"])
]
ARMS = ArmsConfig(few_shot=FewShotConfig(shots=3), retrieval=RetrievalConfig(top_k=2))


def said(arm: str, request: str, passages: list[Passage] | None = None, history: tuple[str, ...] = ()) -> list[dict[str, str]]:
    return prompts_of(arm_slice(arm, ARMS), "Be brief.", [Request(request, history)], TRAIN, passages or [], 7)[0]


def test_the_zero_shot_arms_say_the_instruction_and_the_request_and_nothing_else() -> None:
    assert said("prompt", "why?") == said("tuned", "why?") == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "why?"}]


def test_every_request_of_the_few_shot_arm_follows_the_same_turns() -> None:
    one, other = prompts_of(arm_slice("few_shot", ARMS), "Be brief.", [Request("why?"), Request("how?")], TRAIN, [], 7)
    assert one[:-1] == other[:-1]
    assert [message["role"] for message in one] == ["system", *["user", "assistant"] * 3, "user"]


def test_the_retrieved_example_that_is_nearest_stands_next_to_the_request() -> None:
    turns = said("retrieval", "tell me about lakes and a question of towns and lakes")
    assert turns[-2]["content"] == "answer lakes"
    assert turns[-1]["content"].startswith("tell me")


def test_passages_go_below_the_instruction_with_the_name_of_their_document() -> None:
    passages = [Passage("trees.md", "oak and elm"), Passage("water.md", "rivers run to lakes")]
    system = said("tuned_retrieval", "which lakes?", passages)[0]["content"]
    assert system == "Be brief.\n\nUse these passages where they help:\n\n[water.md]\nrivers run to lakes"


def test_a_request_that_nothing_is_found_for_is_asked_as_the_prompt_arm_asks_it() -> None:
    assert said("retrieval", "zebra", [Passage("a", "oak"), Passage("b", "elm")]) == said("prompt", "zebra")


@pytest.mark.parametrize("arm", ["prompt", "few_shot", "retrieval", "tuned_retrieval"])
def test_what_was_said_before_stands_right_before_the_request_in_every_arm(arm: str) -> None:
    messages = said(arm, "and the towns?", history=("where are the lakes?", "in the north"))
    assert [message["content"] for message in messages[-3:]] == ["where are the lakes?", "in the north", "and the towns?"]
    assert [message["role"] for message in messages] == ["system", *["user", "assistant"] * ((len(messages) - 2) // 2), "user"]


def test_a_passage_is_found_by_what_was_said_before() -> None:
    passages = [Passage("trees.md", "oak and elm"), Passage("water.md", "rivers run to lakes")]
    assert "rivers run" in said("retrieval", "how deep?", passages, ("tell me of lakes", "they are wide"))[0]["content"]


def test_an_example_of_several_turns_is_shown_with_all_of_them() -> None:
    shown = Example(1, Request("and there?", ("here?", "no")), "yes", "g")
    messages = prompts_of(arm_slice("few_shot", ArmsConfig(few_shot=FewShotConfig(shots=1))), "Be brief.", [Request("why?")], [shown], [], 7)[0]
    assert [message["content"] for message in messages] == ["Be brief.", "here?", "no", "and there?", "yes", "why?"]


@given(st.integers(0, 1000), st.integers(1, 6))
def test_shots_come_from_as_many_groups_as_possible_and_are_the_same_for_the_same_seed(seed: int, shots: int) -> None:
    picked = spread(TRAIN, shots, seed)
    assert picked == spread(TRAIN[::-1], shots, seed)
    assert len({example.row_id for example in picked}) == shots
    assert len({example.group for example in picked}) == min(shots, 2)


def test_another_seed_picks_other_shots() -> None:
    assert len({tuple(example.row_id for example in spread(TRAIN, 3, seed)) for seed in range(20)}) > 1
