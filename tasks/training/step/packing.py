"""Which rows are computed together: optimiser steps by tokens, packs by best-fit decreasing. No row is cut, lost or
seen twice in an epoch.

A pack is one forward and backward pass: the common prompt prefix once, then the rest of each row. Inside a pack rows do
not attend to each other (tasks/training/step/attention.py). The last token of a row predicts nothing, so it is a label
and never an input.
"""

from __future__ import annotations

import bisect
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tasks.training.rows import TokenRow
from tasks.training.step.pack_layout import Layout, lay_out


@dataclass(frozen=True)
class Step:
    """One optimiser step: its rows by index, how many epochs are done after it, and whether it ends an epoch."""

    epoch: int
    rows: tuple[int, ...]
    done: float
    is_epoch_end: bool


@dataclass(frozen=True)
class Pack:
    """One pass: input_ids and position_ids (1, T), positions and tokens (A,) of answers, and its rows in order."""

    input_ids: Any
    position_ids: Any
    answer_positions: Any
    labels: Any
    layout: Layout
    rows: tuple[TokenRow, ...]
    weight: float = 1.0  # 0 makes a pass whose loss does not count

    @property
    def row_ids(self) -> tuple[int, ...]:
        """The numbers of its rows."""
        return tuple(row.row_id for row in self.rows)

    @property
    def row_tokens(self) -> int:
        """Tokens of its rows, each with the shared prefix."""
        return sum(row.tokens for row in self.rows)


def plan_steps(tokens: Sequence[int], tokens_per_step: int, epochs: float, seed: int) -> list[Step]:
    """Return the steps of all epochs; `tokens` are the rows' lengths, and the seed draws each epoch's order."""
    steps: list[Step] = []
    for epoch in range(math.ceil(epochs)):
        groups = _filled(_shuffled(len(tokens), seed, epoch), tokens, tokens_per_step)
        kept = groups[: max(1, math.ceil(len(groups) * min(1.0, epochs - epoch)))]
        steps += [
            Step(epoch, group, round(epoch + number / len(groups), 4), number == len(kept))
            for number, group in enumerate(kept, start=1)
        ]
    return steps


def _shuffled(count: int, seed: int, epoch: int) -> list[int]:
    order = list(range(count))
    random.Random(f"order-{seed}-{epoch}").shuffle(order)
    return order


def _filled(order: Sequence[int], tokens: Sequence[int], tokens_per_step: int) -> list[tuple[int, ...]]:
    groups: list[list[int]] = [[]]
    held = 0
    for row in order:
        if groups[-1] and held + tokens[row] > tokens_per_step:
            groups.append([])
            held = 0
        groups[-1].append(row)
        held += tokens[row]
    return [tuple(group) for group in groups]


def fit_best(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Pack by best-fit decreasing; return the indices per pack, an item longer than the capacity alone."""
    packs: list[list[int]] = []
    room: list[tuple[int, int]] = []
    for item in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        place = bisect.bisect_left(room, (lengths[item], -1))
        if place == len(room):
            packs.append([item])
            bisect.insort(room, (capacity - lengths[item], len(packs) - 1))
        else:
            left, pack = room.pop(place)
            packs[pack].append(item)
            bisect.insort(room, (left - lengths[item], pack))
    return packs


@dataclass(frozen=True)
class TrainingDataset:
    """The rows to train on, their order as steps of row indices, the rows held out for validation, the number of
    prompt tokens that all rows share, the epochs to wait for a better validation loss, and how many of the rows, the
    last ones, are neutral texts.
    """

    rows: Sequence[TokenRow]
    validation: Sequence[TokenRow]
    steps: Sequence[Step]
    prefix: int
    patience: int
    texts: int = 0

    def pack_sizes(self, position: int, capacity: int) -> list[int]:
        """Return the input tokens of each pack of a step."""
        lengths = [own_length(row, self.prefix) for row in self.rows_of(position)]
        packs = fit_best(lengths, max(1, capacity - self.prefix))
        return [self.prefix + _total(lengths, pack) for pack in packs]

    def rows_of(self, position: int) -> list[TokenRow]:
        """Return the rows of a step."""
        return [self.rows[index] for index in self.steps[position].rows]

    @property
    def longest_row(self) -> int:
        """Tokens of the longest row, those held out for validation included."""
        return max(row.tokens for row in [*self.rows, *self.validation])

    def tokens_of(self, position: int) -> int:
        """Return the input tokens of a step as one pack."""
        return self.prefix + sum(own_length(row, self.prefix) for row in self.rows_of(position))


def own_length(row: TokenRow, prefix: int) -> int:
    """Return how many input tokens a row adds to a pack beyond the shared prefix."""
    return row.tokens - 1 - prefix


def pack_rows(rows: Sequence[TokenRow], prefix: int, capacity: int) -> list[Pack]:
    """Return packs of at most `capacity` input tokens, the prefix of `prefix` tokens included, with every row once."""
    lengths = [own_length(row, prefix) for row in rows]
    return [_collate_at(rows, pack, prefix) for pack in fit_best(lengths, max(1, capacity - prefix))]


def share_rows(rows: Sequence[TokenRow], prefix: int, capacity: int, processes: int) -> list[list[Pack]]:
    """Return packs of at most `capacity` input tokens for each of several processes: the same number for each, about
    equally long, every row in one of them.

    DDP needs the same number of passes in every process, so one that has no row left computes a row with weight 0.
    """
    lengths = [own_length(row, prefix) for row in rows]
    count = processes * math.ceil(len(fit_best(lengths, max(1, capacity - prefix))) / processes)
    parts = spread(lengths, count)
    while count < len(rows) and max(_total(lengths, part) for part in parts) > capacity - prefix:
        count += processes
        parts = spread(lengths, count)
    blank = replace(collate([min(rows, key=lambda row: row.tokens)], prefix), weight=0.0)
    packs = [_collate_at(rows, part, prefix) if part else blank for part in parts]
    return [packs[process::processes] for process in range(processes)]


def _total(lengths: Sequence[int], items: Sequence[int]) -> int:
    return sum(lengths[item] for item in items)


def _collate_at(rows: Sequence[TokenRow], items: Sequence[int], prefix: int) -> Pack:
    return collate([rows[item] for item in items], prefix)


def spread(lengths: Sequence[int], count: int) -> list[list[int]]:
    """Return the positions of items over `count` parts: the longest first, each to the shortest part so far."""
    parts: list[list[int]] = [[] for _ in range(count)]
    sums = [0] * count
    for item in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        shortest = sums.index(min(sums))
        parts[shortest].append(item)
        sums[shortest] += lengths[item]
    return parts


def collate(rows: Sequence[TokenRow], prefix: int) -> Pack:
    """Return one pack of these rows, the shortest first, so that rows of similar length are neighbours."""
    import torch

    ordered = sorted(rows, key=lambda row: (row.tokens, row.row_id))
    inputs, positions = list(ordered[0].prompt_ids[:prefix]), list(range(prefix))
    predicting: list[int] = []
    labels: list[int] = []
    for row in ordered:
        whole = row.prompt_ids + row.answer_ids
        start = len(inputs) - prefix
        predicting += range(start + len(row.prompt_ids) - 1, start + len(whole) - 1)
        labels += row.answer_ids
        inputs += whole[prefix:-1]
        positions += range(prefix, len(whole) - 1)
    return Pack(
        torch.tensor([inputs]),
        torch.tensor([positions]),
        torch.tensor(predicting),
        torch.tensor(labels),
        lay_out(prefix, [own_length(row, prefix) for row in ordered]),
        tuple(ordered),
    )
