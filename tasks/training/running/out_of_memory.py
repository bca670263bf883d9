"""Running out of memory during training: packs become smaller; the step and its rows stay the same."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.errors import MachineLacks
from tasks.training.step.packing import Pack


class StartAgain(Exception):
    """Raised where one of several processes had to make its packs smaller: all start again from the last checkpoint."""


def halved(packs: Sequence[Pack], capacity: int) -> int:
    """Return half of the tokens that a pack may hold, or half of the largest of these packs if that is less.

    Raises:
        MachineLacks: each pack is a single row already, and a row is never cut.
    """
    largest = max(packs, key=lambda pack: pack.input_ids.shape[1])
    if all(len(pack.row_ids) == 1 for pack in packs):
        raise MachineLacks(
            f"Out of memory with a single row in a pass: row {largest.row_ids[0]} of {largest.row_tokens} tokens does "
            "not fit into memory with the model, and a row is never cut. Free memory and run again, or set "
            'training.method "qlora", lower training.rank, or remove the longest rows.'
        )
    return max(1, min(capacity, int(largest.input_ids.shape[1])) // 2)
