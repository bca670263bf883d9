"""The context of each arm's prompts: fixed examples, passages of the corpus, or the nearest train rows."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from schemas.errors import ConfigRefused
from schemas.sections.arms import GRAMMAR
from tasks.arms.settings import ArmSettings
from tasks.inference.prompts.prompt_builder import PromptContext
from tasks.inference.prompts.retrieval_index import TrainRow, read_train, retrieved_from


def context_of(arm: ArmSettings, data: Path, seed: int) -> PromptContext:
    """Return the context that an arm builds its prompts from; only what the arm uses is read.

    Args:
        arm: the settings that the arm reads.
        data: opened data artifact.
        seed: picks the fixed examples.

    Raises:
        ConfigRefused: more examples or passages are requested than there are.
    """
    context = PromptContext()
    if arm.top_k is not None:
        context = retrieved_from(data, arm.top_k, arm.passage_words, arm.language or "en", arm.search)
        what = "passages in the corpus" if context.passages else "train rows"
        _check_enough("arms.retrieval.top_k", arm.top_k, len(context.passages or context.examples), what)
    if not arm.shots:
        return context
    train = read_train(data)
    _check_enough(f"arms.{arm.name.removesuffix(GRAMMAR)}.shots", arm.shots, len(train), "train rows")
    return replace(context, shots=tuple(spread(train, arm.shots, seed)))


def spread(train: Sequence[TrainRow], shots: int, seed: int) -> list[TrainRow]:
    """Pick examples with the seed: one from each of as many groups as possible before any group gives a second one;
    the same seed with fewer shots picks the first of them.
    """
    chance = random.Random(seed)
    groups: dict[str, list[TrainRow]] = {}
    for row in sorted(train, key=lambda row: row.row_id):
        groups.setdefault(row.group, []).append(row)
    stacks = [chance.sample(rows, len(rows)) for rows in groups.values()]
    chance.shuffle(stacks)
    in_turn = [row for turn in itertools.zip_longest(*stacks) for row in turn if row is not None]
    return in_turn[:shots]


def _check_enough(setting: str, requested: int, available: int, what: str) -> None:
    if requested > available:
        raise ConfigRefused(
            f"{setting}: {requested} requested, but there are only {available} {what}. Set it to {available} or less, "
            "or remove the arm from `arms`."
        )
