"""Neutral texts in place of some examples, so that less is forgotten: the steps stay as many."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from schemas.errors import ConfigRefused
from tasks.training.rows import TokenRow
from tasks.training.step.packing import Step, TrainingDataset


def text_rows(path: Path | None, tokenizer: Any, longest: int) -> list[TokenRow]:
    """Return texts as rows that are learned whole: only the first token is given. What goes beyond `longest` tokens is
    left out.

    Raises:
        ConfigRefused: there is no text.
    """
    texts = json.loads(path.read_text(encoding="utf-8")) if path else []
    ids = [tokenizer(text)["input_ids"][:longest] for text in texts]
    if not ids:
        raise ConfigRefused(
            "training.replay: benchmark.neutral has no text that is set aside for it (about a third is, by content). "
            "Add texts, or set training.replay to 0."
        )
    return [TokenRow(-number, "neutral", one[:1], one[1:]) for number, one in enumerate(ids, start=1)]


def mix_in(dataset: TrainingDataset, texts: Sequence[TokenRow], share: float, seed: int) -> TrainingDataset:
    """Return the dataset with texts in place of this share of every epoch's examples, drawn by the seed.

    Every text comes once before one comes again. The rows share no prompt with the texts, so nothing is computed once
    for all.
    """
    draw = random.Random(f"replay-{seed}")
    order = draw.sample(range(len(texts)), len(texts))
    next_text = (len(dataset.rows) + place for place in itertools.cycle(order))
    steps: list[Step] = []
    for _, epoch in itertools.groupby(dataset.steps, key=lambda step: step.epoch):
        own = list(epoch)
        places = [(number, place) for number, step in enumerate(own) for place in range(len(step.rows))]
        chosen = set(draw.sample(places, round(share * len(places))))
        for number, step in enumerate(own):
            rows = (next(next_text) if (number, place) in chosen else row for place, row in enumerate(step.rows))
            steps.append(replace(step, rows=tuple(rows)))
    return replace(dataset, rows=[*dataset.rows, *texts], steps=steps, prefix=0, texts=len(texts))
