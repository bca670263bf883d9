"""What each arm says to the model: one list of messages per held-out row, alike up to the request wherever the arm allows it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from schemas.errors import ConfigRefused
from tasks.arms.retrieval import Passage, Search
from tasks.arms.slicing import ArmSlice
from tasks.inference.rendering import Messages, row_messages, shown_messages

PASSAGES = "Use these passages where they help:"


@dataclass(frozen=True)
class Request:
    """What is asked, and the turns that went before it: requests and answers, oldest first."""

    prompt: str
    history: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All that was said, a turn a line: what passages and examples are looked for with."""
        return "\n".join([*self.history, self.prompt])


@dataclass(frozen=True)
class Example:
    """A row that may be shown: its request, the answer wanted, and the group that it belongs to."""

    row_id: int
    request: Request
    completion: str
    group: str


def prompts_of(
    arm: ArmSlice, instruction: str, requests: Sequence[Request], train: Sequence[Example], passages: Sequence[Passage], seed: int
) -> list[Messages]:
    """Return the conversation of every request.

    Args:
        arm: the arm's own settings.
        instruction: the task's system message.
        requests: those of the held-out rows.
        train: rows of the train split: the only ones that are ever shown.
        passages: the corpus; empty when the task has none, and then train rows are retrieved.
        seed: picks the shots.

    Raises:
        ConfigRefused: more shots or passages are wanted than there are.
    """
    return [speaker(request) for speaker in [_speaker(arm, instruction, train, passages, seed)] for request in requests]


def _speaker(arm: ArmSlice, instruction: str, train: Sequence[Example], passages: Sequence[Passage], seed: int) -> Callable[[Request], Messages]:
    if arm.shots is not None:
        shots = spread(train, arm.shots, seed)
        return lambda request: with_shots(instruction, shots, request)
    if arm.top_k is None:
        return lambda request: row_messages(instruction, request.prompt, request.history)
    _check_enough("arms.retrieval.top_k", arm.top_k, len(passages or train), "passages in the corpus" if passages else "train rows")
    if passages:
        search = Search([passage.text for passage in passages])
        return lambda request: with_passages(instruction, [passages[place] for place in search.nearest(request.text, arm.top_k or 0)], request)
    examples = Search([example.request.text for example in train])
    return lambda request: with_shots(instruction, [train[place] for place in examples.nearest(request.text, arm.top_k or 0)], request)


def spread(train: Sequence[Example], shots: int, seed: int) -> list[Example]:
    """Pick examples with the seed: one from each of as many groups as possible before a group gives a second one."""
    _check_enough("arms.few_shot.shots", shots, len(train), "train rows")
    chance = random.Random(seed)
    groups: dict[str, list[Example]] = {}
    for example in sorted(train, key=lambda example: example.row_id):
        groups.setdefault(example.group, []).append(example)
    stacks = [chance.sample(rows, len(rows)) for rows in groups.values()]
    chance.shuffle(stacks)
    in_turn = [stack[turn] for turn in range(max(map(len, stacks))) for stack in stacks if turn < len(stack)]
    return in_turn[:shots]


def with_shots(instruction: str, shots: Sequence[Example], request: Request) -> Messages:
    """Show examples as turns that went before, each with its own history, the last one next to the request's conversation."""
    system, *asked = row_messages(instruction, request.prompt, request.history)
    return [system, *(message for shot in shots for message in shown_messages(shot.request.prompt, shot.completion, shot.request.history)), *asked]


def with_passages(instruction: str, passages: Sequence[Passage], request: Request) -> Messages:
    """Put passages below the instruction; a request that nothing was found for is asked without any."""
    if not passages:
        return row_messages(instruction, request.prompt, request.history)
    shown = "\n\n".join(f"[{passage.document}]\n{passage.text}" for passage in passages)
    return row_messages(f"{instruction}\n\n{PASSAGES}\n\n{shown}", request.prompt, request.history)


def _check_enough(setting: str, wanted: int, there: int, what: str) -> None:
    if wanted > there:
        raise ConfigRefused(f"{setting}: {wanted} wanted, but there are only {there} {what}. Set it to {there} or less, or leave the arm out of `arms`.")
